//! Looks for input that breaks `properties/glance.rs`.
#![no_main]

#[path = "../properties/glance.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
