#![no_main]
//! See `indelible_fuzz::head`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::head(bytes));
