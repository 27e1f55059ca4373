//! Manifests and lock files: which packages, in which versions.
