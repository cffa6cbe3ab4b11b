//! From a file to the bytes of its records: decompression by content, with a bound on what may come out.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, poll};
use zstd::stream::read::Decoder as ZstdDecoder;

use super::files::Input;
use crate::question::bytes_text;
use crate::signals::Stop;

/// What decompressing one file may give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) decompressed_bytes_max: u64,
}

/// Real logs shrink by tens; a thousand and more is a file made to fill memory or disk.
const RATIO_MAX: u64 = 1000;
/// The ratio is not looked at before this much came out: short runs of zeros shrink a lot.
const RATIO_FROM_BYTES: u64 = 64 << 20;
/// As much as the zstd program itself uses without being asked: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const BUFFER_BYTES: usize = 256 << 10;

/// The decompressed bytes of an input.
pub(crate) type Source<'s> = Box<dyn BufRead + 's>;

/// Opens an input. Bytes taken from disk are added to `read` as they are taken.
pub(crate) fn open<'s>(input: &Input, limits: &Limits, read: &'s AtomicU64, stop: &'s Stop) -> io::Result<Source<'s>> {
    let raw: Box<dyn Read + 's> = if input.is_stdin() { Box::new(Stdin { stop }) } else { Box::new(File::open(&input.path)?) };
    decode(raw, limits, read)
}

fn decode<'s>(raw: Box<dyn Read + 's>, limits: &Limits, read: &'s AtomicU64) -> io::Result<Source<'s>> {
    let mut packed = BufReader::with_capacity(BUFFER_BYTES, Counted { raw, total: read, mine: 0 });
    let magic = first_bytes(&mut packed)?;
    let limits = *limits;
    Ok(match magic {
        [0x1f, 0x8b, ..] => guarded(MultiGzDecoder::new(packed), limits, |gz| gz.get_ref().get_ref().mine),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = ZstdDecoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            guarded(decoder, limits, |zstd| zstd.get_ref().get_ref().mine)
        }
        _ => Box::new(packed),
    })
}

fn guarded<'s, D: Read + 's>(decoder: D, limits: Limits, packed_bytes: fn(&D) -> u64) -> Source<'s> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, Guard { decoder, limits, packed_bytes, bytes: 0 }))
}

/// The first four bytes, without taking them; fewer at the end of a short input.
fn first_bytes(reader: &mut impl BufRead) -> io::Result<[u8; 4]> {
    // A pipe may give less at first than there will be; then it counts as not compressed only if the first byte says so.
    let start = reader.fill_buf()?;
    let mut magic = [0; 4];
    magic.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    Ok(magic)
}

/// Whether the input begins like an object; for files whose name does not tell.
pub(crate) fn looks_like_json(source: &mut Source<'_>) -> io::Result<bool> {
    let start = source.fill_buf()?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    Ok(start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

/// Counts what is taken from disk.
struct Counted<'s> {
    raw: Box<dyn Read + 's>,
    total: &'s AtomicU64,
    mine: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.mine += count as u64;
        self.total.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Stops a decoder that gives too much.
struct Guard<D> {
    decoder: D,
    limits: Limits,
    packed_bytes: fn(&D) -> u64,
    bytes: u64,
}

impl<D: Read> Read for Guard<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.bytes += count as u64;
        let packed = (self.packed_bytes)(&self.decoder);
        if self.bytes > self.limits.decompressed_bytes_max {
            return Err(io::Error::other(TooMuch::Bytes(self.limits.decompressed_bytes_max)));
        }
        if self.bytes > RATIO_FROM_BYTES && self.bytes / packed.max(1) > RATIO_MAX {
            return Err(io::Error::other(TooMuch::Ratio { packed, bytes: self.bytes }));
        }
        Ok(count)
    }
}

/// A compressed file gives more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    Bytes(u64),
    Ratio { packed: u64, bytes: u64 },
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) => {
                write!(
                    f,
                    "it decompresses to more than {}; raise --max-decompressed if that is what it should be",
                    bytes_text(*limit)
                )
            }
            Self::Ratio { packed, bytes } => write!(
                f,
                "{} decompressed to {} and more, over {RATIO_MAX} times as much: decompress it yourself if that is what it should be",
                bytes_text(*packed),
                bytes_text(*bytes)
            ),
        }
    }
}

impl std::error::Error for TooMuch {}

/// stdin that notices when it is asked to stop, also while nothing comes.
struct Stdin<'s> {
    stop: &'s Stop,
}

impl Read for Stdin<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        while !self.stop.asked() {
            let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            match poll(&mut [PollFd::new(&stdin.as_fd(), PollFlags::IN)], Some(&timeout)) {
                // Without the standard library's own buffer: poll knows nothing of it.
                Ok(ready) if ready > 0 => return Ok(rustix::io::read(stdin.as_fd(), buffer)?),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const WIDE: Limits = Limits { decompressed_bytes_max: 1 << 40 };

    fn read_all(packed: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
        let counter = AtomicU64::new(0);
        let mut out = Vec::new();
        decode(Box::new(packed), limits, &counter)?.read_to_end(&mut out)?;
        assert_eq!(counter.into_inner(), packed.len() as u64);
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_decides_how_it_is_read() {
        let text = b"{\"a\":1}\n{\"b\":2}\n".repeat(1000);
        assert_eq!(read_all(&text, &WIDE).unwrap(), text);
        assert_eq!(read_all(&gzip(&text), &WIDE).unwrap(), text);
        let two = [gzip(&text), gzip(b"{}")].concat();
        assert_eq!(read_all(&two, &WIDE).unwrap().len(), text.len() + 2);
        assert_eq!(read_all(&zstd::encode_all(text.as_slice(), 3).unwrap(), &WIDE).unwrap(), text);
        assert_eq!(read_all(b"", &WIDE).unwrap(), b"");
        assert_eq!(read_all(b"\x1f", &WIDE).unwrap(), b"\x1f");
    }

    #[test]
    fn bombs_are_stopped_and_damage_is_told() {
        let bomb = gzip(&vec![b' '; 3 << 20]);
        let counter = AtomicU64::new(0);
        let limits = Limits { decompressed_bytes_max: 1 << 20 };
        let mut out = Vec::new();
        let error = decode(Box::new(bomb.as_slice()), &limits, &counter).unwrap().read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("--max-decompressed"), "{error}");
        assert!(out.len() <= 1 << 20);

        let bomb = zstd::encode_all(io::repeat(b' ').take(256 << 20), 3).unwrap();
        assert!(bomb.len() < 64 << 10);
        let error = decode(Box::new(bomb.as_slice()), &WIDE, &counter).unwrap().read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("1000 times"), "{error}");

        let mut cut = gzip(&b"{\"a\":1}".repeat(1000));
        cut.truncate(cut.len() - 4);
        assert!(read_all(&cut, &WIDE).is_err());
    }

    #[test]
    fn only_objects_look_like_events() {
        let counter = AtomicU64::new(0);
        for (text, looks) in [("{", true), ("\u{feff} \n{\"a\":1}", true), ("# a page", false), ("[link](x)", false), ("", false)]
        {
            let mut source = decode(Box::new(text.as_bytes()), &WIDE, &counter).unwrap();
            assert_eq!(looks_like_json(&mut source).unwrap(), looks, "{text}");
        }
    }
}
