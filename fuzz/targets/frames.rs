//! Looks for input that breaks `properties/frames.rs`.
#![no_main]

#[path = "../properties/frames.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
