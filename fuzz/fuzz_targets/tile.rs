#![no_main]
//! See `indelible_fuzz::tile`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::tile(bytes));
