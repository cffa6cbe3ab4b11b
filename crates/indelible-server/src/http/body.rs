//! Bodies: read with limits on size, on time between pieces, and on what all of them together may take; decompressed with a limit.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// How large and slow bodies may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes as they come.
    pub(crate) bytes: usize,
    /// Bytes once decompressed.
    pub(crate) decompressed: usize,
    /// Between two pieces.
    pub(crate) pause: Duration,
}

/// How many of the longest pauses a whole body may take.
const PAUSES_MAX: u32 = 10;

/// Room for bodies in memory, shared by all requests; in KiB, so that it fits a semaphore.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>, u32);

/// A body, and its place in the room for as long as it is worked on.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        Self(Arc::new(Semaphore::new(pieces as usize)), pieces)
    }

    /// Waits for room for so many bytes; what is larger than everything takes everything. Not for ever: requests that each hold a part and
    /// want more would wait for each other.
    async fn take(&self, bytes: usize, patience: Duration) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.1);
        let taken = tokio::time::timeout(patience, Arc::clone(&self.0).acquire_many_owned(pieces)).await;
        taken.ok().and_then(Result::ok).ok_or_else(|| Problem::busy("too many bodies are being read at once"))
    }
}

/// Reads a request's body.
///
/// # Errors
/// Too large, too slow, broken off, compressed in a way that is not known or that does not hold.
pub(crate) async fn receive(headers: &HeaderMap, mut body: Body, limits: BodyLimits, room: &Room) -> Result<Received, Problem> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(told) = told.filter(|told| *told > limits.bytes) {
        return Err(too_large(told, limits.bytes));
    }
    let coding = Coding::of(headers)?;
    // Taken as it comes, not as it is told: a length that lies reserves nothing.
    let mut permits = Vec::new();
    let mut taken = 0;
    let mut bytes = Vec::new();
    let started = Instant::now();
    loop {
        // Who sends a byte now and then ends, too.
        let left = (limits.pause * PAUSES_MAX).saturating_sub(started.elapsed()).min(limits.pause);
        let piece = match tokio::time::timeout(left, body.frame()).await {
            Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Problem::bad("body", format!("the body broke off: {error}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = piece.into_data() else { continue };
        if bytes.len() + piece.len() > limits.bytes {
            return Err(too_large(bytes.len() + piece.len(), limits.bytes));
        }
        while taken < bytes.len() + piece.len() {
            let more = (64 << 10_usize).max(taken);
            permits.push(room.take(more.min(limits.bytes), limits.pause).await?);
            taken += more;
        }
        bytes.extend_from_slice(&piece);
    }
    let bytes = match coding {
        Coding::Plain => bytes,
        _ => {
            permits.push(room.take(bytes.len().saturating_mul(4).min(limits.decompressed), limits.pause).await?);
            // A few milliseconds of work at most: the limit is on what comes out.
            tokio::task::block_in_place(|| coding.decode(&bytes, limits.decompressed))?
        }
    };
    Ok(Received { bytes: bytes.into(), _room: permits })
}

fn too_large(bytes: usize, limit: usize) -> Problem {
    Problem::too_large(format!("the body has {bytes} bytes or more, the limit is {limit}")).hint("send smaller batches")
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(name) = headers.get(CONTENT_ENCODING) else { return Ok(Self::Plain) };
        match name.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            other => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "encoding",
                format!("bodies may be compressed with gzip, deflate or zstd, not {other:?}"),
            )),
        }
    }

    fn decode(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::new();
        let read = match self {
            Self::Plain => return Ok(bytes.to_vec()),
            Self::Gzip => flate2::read::MultiGzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut out),
            Self::Deflate => flate2::read::ZlibDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut out),
            // 8 MiB of window: what RFC 8878 asks every decoder to support.
            Self::Zstd => zstd::stream::read::Decoder::new(bytes).and_then(|mut decoder| {
                decoder.window_log_max(23)?;
                decoder.take(limit as u64 + 1).read_to_end(&mut out)
            }),
        };
        match read {
            Err(error) => Err(Problem::bad("encoding", format!("the body does not decompress: {error}"))),
            Ok(_) if out.len() > limit => {
                Err(Problem::too_large(format!("the body decompresses to more than {limit} bytes")).hint("send smaller batches"))
            }
            Ok(_) => Ok(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn limits(bytes: usize, decompressed: usize) -> BodyLimits {
        BodyLimits { bytes, decompressed, pause: Duration::from_millis(50) }
    }

    async fn read(coding: &'static str, body: Vec<u8>, limits: BodyLimits) -> Result<Bytes, (u16, &'static str)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let received = receive(&headers, Body::from(body), limits, &Room::new(1 << 20)).await;
        received.map(|received| received.bytes).map_err(|problem| (problem.status.as_u16(), problem.code))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_coding_is_undone_and_bombs_do_not_go_off() {
        let text = vec![b'a'; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let coded = [
            ("gzip", gzip.finish().unwrap()),
            ("deflate", zlib.finish().unwrap()),
            ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
        ];
        for (coding, body) in coded {
            assert_eq!(read(coding, body.clone(), limits(4096, 100_000)).await.unwrap(), text, "{coding}");
            assert_eq!(read(coding, body.clone(), limits(4096, 99_999)).await, Err((413, "too_large")), "{coding}");
            assert_eq!(
                read(coding, body[..body.len() / 2].to_vec(), limits(4096, 100_000)).await,
                Err((400, "encoding")),
                "{coding}"
            );
        }
        assert_eq!(read("br", text.clone(), limits(1 << 20, 1 << 20)).await, Err((415, "encoding")));
        assert_eq!(read("identity", text.clone(), limits(99_999, 1 << 20)).await, Err((413, "too_large")));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_does_not_go_on_is_not_waited_for() {
        let never = Body::from_stream(futures_never());
        let received = receive(&HeaderMap::new(), never, limits(4096, 4096), &Room::new(1 << 20)).await;
        assert_eq!(received.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_that_want_more_room_than_there_is_do_not_wait_for_each_other() {
        let room = Room::new(256 << 10);
        let limits = limits(1 << 20, 1 << 20);
        let bodies = (0..8).map(|_| {
            let room = room.clone();
            tokio::spawn(
                async move { receive(&HeaderMap::new(), Body::from(vec![b'a'; 200 << 10]), limits, &room).await.map(drop) },
            )
        });
        let bodies: Vec<_> = bodies.collect();
        for body in bodies {
            // Each gets through or is told to come again.
            let answer = body.await.unwrap();
            assert!(answer.is_ok() || answer.as_ref().is_err_and(|problem| problem.code == "busy"), "{answer:?}");
        }
        assert!(receive(&HeaderMap::new(), Body::from(vec![b'a'; 200 << 10]), limits, &room).await.is_ok(), "all room came back");
    }

    fn futures_never() -> impl futures_core::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        struct Never;
        impl futures_core::Stream for Never {
            type Item = Result<Bytes, std::io::Error>;
            fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
                std::task::Poll::Pending
            }
        }
        Never
    }
}
