//! Rate limits with bounded memory.
