//! Looks for input that breaks `properties/headers.rs`.
#![no_main]

#[path = "../properties/headers.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
