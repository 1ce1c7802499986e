//! Disks that fill up and databases that are locked.
