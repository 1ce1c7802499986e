//! Looks for input that breaks `properties/host.rs`.
#![no_main]

#[path = "../properties/host.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
