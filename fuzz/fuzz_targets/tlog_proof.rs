#![no_main]
//! See `indelible_fuzz::tlog_proof`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| indelible_fuzz::tlog_proof(bytes));
