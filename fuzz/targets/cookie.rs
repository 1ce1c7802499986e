//! Looks for input that breaks `properties/cookie.rs`.
#![no_main]

#[path = "../properties/cookie.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
