//! The machine around the process: sockets that it was given, the service manager that watches it, what it may reach, and
//! what it leaves to the process after it. Linux alone.

pub mod activation;
pub mod memory;
pub mod passing;
pub mod sandbox;
pub mod service;
pub mod sockets;
