#![no_main]
//! See `indelible_fuzz::record`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::record(bytes));
