#![no_main]
//! See `indelible_fuzz::checkpoint`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::checkpoint(bytes));
