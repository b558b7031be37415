#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| echocart::trial::calls::run(bytes));
