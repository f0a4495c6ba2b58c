#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| viewcache_fuzz::bodies(data));
