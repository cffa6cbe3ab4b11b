#![no_main]
//! See `indelible_fuzz::note`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::note(bytes));
