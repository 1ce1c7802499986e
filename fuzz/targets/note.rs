//! Looks for input that breaks `properties/note.rs`.
#![no_main]

#[path = "../properties/note.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
