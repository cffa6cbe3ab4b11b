//! The crates that compress, check and hash for this one, behind the feature `codec`. Without it there is nobody in their place: nothing
//! can be opened or written, and only the names of columns and fields are of use.

#[cfg(feature = "codec")]
pub(crate) use self::real::{Compressor, Crc32, Decompressor, RandomState, compress_bound, compressor, crc32, frame};

#[cfg(not(feature = "codec"))]
pub(crate) use self::absent::{Compressor, Crc32, Decompressor, RandomState, compress_bound, compressor, crc32, frame};

/// What a build without codec says.
pub(crate) const ABSENT: &str = "this program was built without the codec of segments";

#[cfg(feature = "codec")]
mod real {
    pub(crate) use crc32fast::{Hasher as Crc32, hash as crc32};
    pub(crate) use foldhash::fast::RandomState;
    pub(crate) use zstd::bulk::{Compressor, Decompressor};
    pub(crate) use zstd::zstd_safe::compress_bound;
    use zstd::zstd_safe::{CParameter, find_frame_compressed_size, get_frame_content_size};

    /// Levels from this one on look for the longest of several repeats, however short. Between random digits short ones cost more to tell
    /// of than they save: where they count from seven bytes on, events take 3 to 4 % less.
    const THOROUGH_LEVEL_MIN: i32 = 5;
    const REPEAT_BYTES_MIN: u32 = 7;

    /// What compresses pages.
    pub(crate) fn compressor(level: i32) -> std::io::Result<Compressor<'static>> {
        let mut compressor = Compressor::new(level)?;
        if level >= THOROUGH_LEVEL_MIN {
            compressor.set_parameter(CParameter::MinMatch(REPEAT_BYTES_MIN))?;
        }
        Ok(compressor)
    }

    /// Length of the Zstandard frame at the front of `bytes`, and how many bytes it says to hold.
    pub(crate) fn frame(bytes: &[u8]) -> Option<(usize, u64)> {
        Some((find_frame_compressed_size(bytes).ok()?, get_frame_content_size(bytes).ok()??))
    }
}

#[cfg(not(feature = "codec"))]
mod absent {
    use std::io::{Error, ErrorKind, Result};
    use std::marker::PhantomData;

    pub(crate) use std::collections::hash_map::RandomState;

    /// Nobody who compresses.
    pub(crate) struct Compressor<'d>(PhantomData<&'d ()>);

    pub(crate) fn compressor(_level: i32) -> Result<Compressor<'static>> {
        Err(Error::new(ErrorKind::Unsupported, super::ABSENT))
    }

    impl Compressor<'_> {
        pub(crate) fn compress_to_buffer(&mut self, _from: &[u8], _to: &mut Vec<u8>) -> Result<usize> {
            Err(Error::new(ErrorKind::Unsupported, super::ABSENT))
        }
    }

    /// Nobody who decompresses.
    pub(crate) struct Decompressor<'d>(PhantomData<&'d ()>);

    impl Decompressor<'_> {
        pub(crate) fn new() -> Result<Self> {
            Err(Error::new(ErrorKind::Unsupported, super::ABSENT))
        }

        pub(crate) fn decompress_to_buffer<T: ?Sized>(&mut self, _from: &[u8], _to: &mut T) -> Result<usize> {
            Err(Error::new(ErrorKind::Unsupported, super::ABSENT))
        }
    }

    /// No checksum.
    #[derive(Default)]
    pub(crate) struct Crc32;

    impl Crc32 {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn update(&mut self, _bytes: &[u8]) {}

        pub(crate) fn finalize(self) -> u32 {
            0
        }
    }

    pub(crate) fn crc32(_bytes: &[u8]) -> u32 {
        0
    }

    pub(crate) fn frame(_bytes: &[u8]) -> Option<(usize, u64)> {
        None
    }

    pub(crate) fn compress_bound(_bytes: usize) -> usize {
        0
    }
}
