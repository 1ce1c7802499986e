//! Looks for input that breaks `properties/path.rs`.
#![no_main]

#[path = "../properties/path.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
