//! Memory that the allocator holds and nobody uses.

use std::hint::black_box;
use std::thread;

/// Lets the allocator hand memory back that has been free for a while. It does so by itself while memory is asked for, so that
/// after a peak, when nothing is asked for, it would keep everything; and it does so for the whole process whenever a thread ends
/// (docs/decisions/0044). So one begins, asks for a little, and ends. Costs some tens of microseconds. That no thread can be had
/// is no failure: then memory is returned later.
pub fn give_back() {
    let ended = thread::Builder::new().name("memory".to_owned()).stack_size(STACK).spawn(|| drop(black_box(Box::new([0_u8; LITTLE]))));
    if let Err(error) = ended {
        tracing::debug!(%error, "no thread to hand memory back with");
    }
}

const STACK: usize = 64 * 1024;
const LITTLE: usize = 256;
