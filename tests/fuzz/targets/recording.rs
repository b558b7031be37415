#![no_main]

#[expect(dead_code, reason = "each target takes one of them")]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::recording(bytes));
