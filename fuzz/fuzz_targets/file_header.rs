#![no_main]
//! See `indelible_fuzz::file_header`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::file_header(bytes));
