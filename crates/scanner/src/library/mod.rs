//! What libraries do, as data: one file a library.
