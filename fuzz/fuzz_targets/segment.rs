#![no_main]
//! See `indelible_fuzz::segment`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::segment(bytes));
