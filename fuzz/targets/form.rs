//! Looks for input that breaks `properties/form.rs`.
#![no_main]

#[path = "../properties/form.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
