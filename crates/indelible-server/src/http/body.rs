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
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::metrics::{ByFault, Untaken};

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

/// How much of a told length is reserved at once.
const BELIEVED_BYTES: usize = 1 << 20;
/// How long the rest of a body that is not taken may pause, and how long it may last.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How many of the longest pauses a whole body may take.
const PAUSES_MAX: u32 = 10;

/// Room for bodies in memory, shared by all requests; and the count of those that were not taken.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// In KiB, so that it fits a semaphore.
    pieces: Arc<Semaphore>,
    pieces_max: u32,
    refused: Family<ByFault, Counter>,
}

/// A body, and its place in the room for as long as it is worked on.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    room: Vec<OwnedSemaphorePermit>,
}

impl Received {
    /// Takes room for what is made of it in memory, besides its own bytes.
    ///
    /// # Errors
    /// There is none: come again.
    pub(crate) async fn grow(&mut self, bytes: usize, limits: BodyLimits, room: &Room) -> Result<(), Problem> {
        self.room.push(room.take(bytes, limits.pause).await?);
        Ok(())
    }

    /// What its bytes from `from` on are, decompressed. Room is taken as they unfold: waited for as far as most bodies do, and beyond
    /// that only if there is some, so that those that unfold without end do not wait for each other with all of it.
    ///
    /// # Errors
    /// Larger than it may be; not compressed in this way; no room.
    pub(crate) async fn decompressed(
        mut self,
        from: usize,
        coding: Coding,
        limits: BodyLimits,
        room: &Room,
    ) -> Result<Self, Problem> {
        let first = self.bytes.len().saturating_mul(USUAL).min(limits.decompressed);
        self.grow(first, limits, room).await?;
        let Self { bytes, room: mut permits } = self;
        let packed = bytes.get(from..).unwrap_or_default();
        let mut more = |bytes| room.try_take(bytes).map(|permit| permits.push(permit));
        // Some ten milliseconds of work at most: the limit is on what comes out.
        let unfolded = tokio::task::block_in_place(|| coding.decode(packed, first, limits.decompressed, &mut more))?;
        Ok(Self { bytes: unfolded.into(), room: permits })
    }
}

/// How many times its size a body is expected to be once decompressed.
const USUAL: usize = 4;

impl Room {
    pub(crate) fn new(bytes: usize, refused: Family<ByFault, Counter>) -> Self {
        let pieces_max = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        Self { pieces: Arc::new(Semaphore::new(pieces_max as usize)), pieces_max, refused }
    }

    /// Waits for room for so many bytes; what is larger than everything takes everything. Not for ever: requests that each hold a part and
    /// want more would wait for each other.
    async fn take(&self, bytes: usize, patience: Duration) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.pieces_max);
        let taken = tokio::time::timeout(patience, Arc::clone(&self.pieces).acquire_many_owned(pieces)).await;
        taken.ok().and_then(Result::ok).ok_or_else(|| Problem::busy("too many bodies are being read at once"))
    }

    /// Room for so many bytes, if there is some now.
    fn try_take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.pieces_max);
        let taken = Arc::clone(&self.pieces).try_acquire_many_owned(pieces);
        taken.map_err(|_| Problem::busy("too many bodies are being decompressed at once"))
    }

    /// Counts a body that is not taken.
    pub(crate) fn count(&self, why: Untaken) {
        self.refused.get_or_create(&ByFault { why }).inc();
    }
}

/// Counts a body that broke off, unless it is told how it ended: a request whose sender goes away is dropped wherever it waits.
struct Ends<'r>(&'r Room, Option<Untaken>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if let Some(why) = self.1 {
            self.0.count(why);
        }
    }
}

/// Reads a request's body.
///
/// # Errors
/// Too large, too slow, broken off, compressed in a way that is not known or that does not hold.
pub(crate) async fn receive(headers: &HeaderMap, body: Body, limits: BodyLimits, room: &Room) -> Result<Received, Problem> {
    let mut ends = Ends(room, Some(Untaken::Broken));
    let received = read(headers, body, limits, room).await;
    ends.1 = received.as_ref().err().map(|problem| match problem.status {
        StatusCode::REQUEST_TIMEOUT => Untaken::Slow,
        StatusCode::PAYLOAD_TOO_LARGE => Untaken::Large,
        StatusCode::SERVICE_UNAVAILABLE => Untaken::Room,
        _ if problem.code == "encoding" => Untaken::Coding,
        _ => Untaken::Broken,
    });
    received
}

async fn read(headers: &HeaderMap, mut body: Body, limits: BodyLimits, room: &Room) -> Result<Received, Problem> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(told) = told.filter(|told| *told > limits.bytes) {
        let_pass(&mut body, limits.bytes).await;
        return Err(too_large(told, limits.bytes));
    }
    let coding = Coding::of(headers)?;
    // Taken as it comes, not as it is told: a length that lies reserves nothing.
    let mut permits = Vec::new();
    let mut taken = 0;
    // What is told and does not come takes no memory: pages are there once they are written to. Not much is believed all the same.
    let mut bytes = Vec::with_capacity(told.unwrap_or(0).min(BELIEVED_BYTES));
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
            let_pass(&mut body, limits.bytes).await;
            return Err(too_large(bytes.len() + piece.len(), limits.bytes));
        }
        while taken < bytes.len() + piece.len() {
            let more = (64 << 10_usize).max(taken);
            permits.push(room.take(more.min(limits.bytes), limits.pause).await?);
            taken += more;
        }
        bytes.extend_from_slice(&piece);
    }
    let received = Received { bytes: bytes.into(), room: permits };
    if coding == Coding::Plain { Ok(received) } else { received.decompressed(0, coding, limits, room).await }
}

/// Takes what still comes, up to `most` bytes, and forgets it: a connection that ends while its peer sends takes the answer with it.
async fn let_pass(body: &mut Body, most: usize) {
    let mut passed = 0;
    let pass = async {
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGER, body.frame()).await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > most {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_MAX, pass).await;
}

fn too_large(bytes: usize, limit: usize) -> Problem {
    Problem::too_large(format!("the body has {bytes} bytes or more, the limit is {limit}")).hint("send smaller batches")
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
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

    /// `most`: bytes that may come out. There is room for `room` of them, and for as many as `more` grants besides.
    fn decode(
        self,
        bytes: &[u8],
        mut room: usize,
        most: usize,
        more: &mut dyn FnMut(usize) -> Result<(), Problem>,
    ) -> Result<Vec<u8>, Problem> {
        let wrong = |error| Problem::bad("encoding", format!("the body does not decompress: {error}"));
        let mut reader: Box<dyn std::io::Read + '_> = match self {
            Self::Plain => Box::new(bytes),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(bytes)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(bytes).map_err(wrong)?;
                // 8 MiB of window: what RFC 8878 asks every decoder to support.
                decoder.window_log_max(23).map_err(wrong)?;
                Box::new(decoder)
            }
        };
        let mut out = Vec::new();
        loop {
            if out.len() >= room {
                let bytes = room.max(64 << 10);
                more(bytes)?;
                room += bytes;
            }
            let wanted = room.min(most + 1) - out.len();
            out.reserve_exact(wanted);
            let read = reader.by_ref().take(wanted as u64).read_to_end(&mut out).map_err(wrong)?;
            if out.len() > most {
                let told = format!("the body decompresses to more than {most} bytes");
                return Err(Problem::too_large(told).hint("send smaller batches"));
            }
            if read < wanted {
                return Ok(out);
            }
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

    fn room(bytes: usize) -> Room {
        Room::new(bytes, Family::default())
    }

    async fn read(coding: &'static str, body: Vec<u8>, limits: BodyLimits) -> Result<Bytes, (u16, &'static str)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let received = receive(&headers, Body::from(body), limits, &room(1 << 20)).await;
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
        let room = room(1 << 20);
        let count = |why| room.refused.get_or_create(&ByFault { why }).get();
        let never = || Body::from_stream(futures_never());
        let received = receive(&HeaderMap::new(), never(), limits(4096, 4096), &room).await;
        assert_eq!(received.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
        // Who goes away is counted, too.
        let none = HeaderMap::new();
        let gone = receive(&none, never(), limits(4096, 4096), &room);
        tokio::time::timeout(Duration::from_millis(1), gone).await.unwrap_err();
        assert_eq!((count(Untaken::Slow), count(Untaken::Broken)), (1, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_that_want_more_room_than_there_is_do_not_wait_for_each_other() {
        let room = room(256 << 10);
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
