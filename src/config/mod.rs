//! Configuration: file text to typed sections, all errors at once, with their places.
