#![no_main]
//! See `indelible_fuzz::json`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::json(bytes));
