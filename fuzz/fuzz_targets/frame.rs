#![no_main]
//! See `indelible_fuzz::frame`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::frame(bytes));
