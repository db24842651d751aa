//! The frozen forms in which things are kept on disk, apart from the runtime types.
