//! Which files are read; the only module that touches the disk.
