//! Bodies: read with limits on size, on time between pieces, and on what all of them together may take; decompressed with a limit.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::time::{Instant, timeout_at};

use super::caller::Caller;
use super::problem::Problem;
use super::shares::{Place, Share, Shares};
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
/// Bytes that a body has to bring for each second, once it has had the time of the longest pause for its beginning.
const LEAST_RATE: u32 = 1 << 10;

/// Room for bodies in memory, shared by all requests; and the count of those that were not taken.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// In KiB, so that it fits a semaphore.
    shares: Shares,
    refused: Family<ByFault, Counter>,
}

/// What one caller has of it.
#[derive(Debug, Clone)]
pub(crate) struct OwnRoom {
    share: Share,
    refused: Family<ByFault, Counter>,
}

/// Room that one request has taken, until it is let go.
#[derive(Debug)]
struct Held {
    room: OwnRoom,
    bytes: usize,
    kib: u32,
    places: Vec<Place>,
}

/// A body, and its place in the room for as long as it is worked on.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    held: Held,
}

impl Received {
    /// Takes room for what is made of it in memory, besides its own bytes.
    ///
    /// # Errors
    /// There is none: come again. There never is so much: it is too large.
    pub(crate) async fn grow(&mut self, bytes: usize, limits: BodyLimits) -> Result<(), Problem> {
        self.held.take(bytes, limits.pause).await
    }

    /// What its bytes from `from` on are, decompressed. Room is taken as they unfold: waited for as far as most bodies do, and beyond
    /// that only if there is some, so that those that unfold without end do not wait for each other with all of it.
    ///
    /// # Errors
    /// Larger than it may be; not compressed in this way; no room.
    pub(crate) async fn decompressed(mut self, from: usize, coding: Coding, limits: BodyLimits) -> Result<Self, Problem> {
        let first = self.bytes.len().saturating_mul(USUAL).min(limits.decompressed);
        self.grow(first, limits).await?;
        let Self { bytes, mut held } = self;
        let packed = bytes.get(from..).unwrap_or_default();
        let mut more = |bytes| held.try_take(bytes);
        // Some ten milliseconds of work at most: the limit is on what comes out.
        let unfolded = tokio::task::block_in_place(|| coding.decode(packed, first, limits.decompressed, &mut more))?;
        Ok(Self { bytes: unfolded.into(), held })
    }
}

/// How many times its size a body is expected to be once decompressed.
const USUAL: usize = 4;

impl Room {
    pub(crate) fn new(bytes: usize, refused: Family<ByFault, Counter>) -> Self {
        Self { shares: Shares::new((bytes >> 10).max(1)), refused }
    }

    /// What this caller may have of it.
    pub(crate) fn of(&self, caller: &Caller) -> OwnRoom {
        OwnRoom { share: self.shares.of(caller.holder()), refused: self.refused.clone() }
    }

    /// Counts a body that is not taken.
    pub(crate) fn count(&self, why: Untaken) {
        self.refused.get_or_create(&ByFault { why }).inc();
    }
}

impl Held {
    const fn nothing(room: OwnRoom) -> Self {
        Self { room, bytes: 0, kib: 0, places: Vec::new() }
    }

    /// Waits for room for so many bytes more. Not for ever: requests that each hold a part and want more would wait for each other.
    async fn take(&mut self, bytes: usize, patience: Duration) -> Result<(), Problem> {
        let kib = self.wanted(bytes)?;
        let place = self.room.share.take(kib, patience).await;
        self.add(bytes, kib, place.ok_or_else(|| Problem::busy("too many bodies are being read at once"))?);
        Ok(())
    }

    /// Room for so many bytes more, if there is some now.
    fn try_take(&mut self, bytes: usize) -> Result<(), Problem> {
        let kib = self.wanted(bytes)?;
        let place = self.room.share.try_take(kib);
        self.add(bytes, kib, place.ok_or_else(|| Problem::busy("too many bodies are being decompressed at once"))?);
        Ok(())
    }

    /// How many KiB more these bytes take.
    fn wanted(&self, bytes: usize) -> Result<u32, Problem> {
        let kib = self.bytes.saturating_add(bytes).div_ceil(1 << 10);
        if kib > self.room.share.most() {
            let most = self.room.share.most();
            let told = format!(
                "the request takes {kib} KiB of memory, and {most} KiB, half of limits.bodies, is all that one sender may have"
            );
            return Err(Problem::too_large(told).hint("send smaller batches"));
        }
        Ok(u32::try_from(kib).unwrap_or(u32::MAX).saturating_sub(self.kib))
    }

    fn add(&mut self, bytes: usize, kib: u32, place: Place) {
        self.bytes += bytes;
        self.kib += kib;
        self.places.push(place);
    }
}

/// How fast a body comes. Each time that the longest pause takes, but for the first, has to bring its part.
#[derive(Debug)]
struct Pace {
    window: Duration,
    ends: Instant,
    /// Still to come in this window.
    wanted: usize,
}

impl Pace {
    fn begin(pause: Duration) -> Self {
        Self { window: pause, ends: Instant::now() + pause, wanted: 0 }
    }

    /// Counts what came.
    fn came(&mut self, bytes: usize) {
        self.wanted = self.wanted.saturating_sub(bytes);
    }

    /// Whether a window has ended in which enough came; another has then begun.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        let is_well = self.wanted == 0 && now >= self.ends;
        if is_well {
            self.ends = now + self.window;
            let bytes = u128::from(LEAST_RATE) * self.window.as_millis() / 1_000;
            self.wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        is_well
    }
}

/// Counts a body that broke off, unless it is told how it ended: a request whose sender goes away is dropped wherever it waits.
struct Ends<'r>(&'r OwnRoom, Option<Untaken>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if let Some(why) = self.1 {
            self.0.refused.get_or_create(&ByFault { why }).inc();
        }
    }
}

/// Reads a request's body.
///
/// # Errors
/// Too large, too slow, broken off, compressed in a way that is not known or that does not hold.
pub(crate) async fn receive(headers: &HeaderMap, body: Body, limits: BodyLimits, room: &OwnRoom) -> Result<Received, Problem> {
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

async fn read(headers: &HeaderMap, mut body: Body, limits: BodyLimits, room: &OwnRoom) -> Result<Received, Problem> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(told) = told.filter(|told| *told > limits.bytes) {
        let_pass(&mut body, limits.bytes).await;
        return Err(too_large(told, limits.bytes));
    }
    let coding = Coding::of(headers)?;
    // Taken as it comes, not as it is told: a length that lies reserves nothing.
    let mut held = Held::nothing(room.clone());
    // What is told and does not come takes no memory: pages are there once they are written to. Not much is believed all the same.
    let mut bytes = Vec::with_capacity(told.unwrap_or(0).min(BELIEVED_BYTES));
    // Who sends a byte now and then ends, too.
    let ends = Instant::now() + limits.pause * PAUSES_MAX;
    let (mut last, mut pace) = (Instant::now(), Pace::begin(limits.pause));
    loop {
        let until = ends.min(last + limits.pause).min(pace.ends);
        let piece = match timeout_at(until, body.frame()).await {
            Err(_) if pace.goes_on() => continue,
            Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Problem::bad("body", format!("the body broke off: {error}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        last = Instant::now();
        let Ok(piece) = piece.into_data() else { continue };
        if bytes.len() + piece.len() > limits.bytes {
            let_pass(&mut body, limits.bytes).await;
            return Err(too_large(bytes.len() + piece.len(), limits.bytes));
        }
        while held.bytes < bytes.len() + piece.len() {
            let more = held.bytes.max(64 << 10).min(limits.bytes - held.bytes);
            held.take(more, limits.pause).await?;
        }
        pace.came(piece.len());
        bytes.extend_from_slice(&piece);
        // That it waited for room is not its sender's doing.
        pace.ends += last.elapsed();
        last = Instant::now();
    }
    let received = Received { bytes: bytes.into(), held };
    if coding == Coding::Plain { Ok(received) } else { received.decompressed(0, coding, limits).await }
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
            if out.len() >= room && room < most {
                let bytes = room.max(64 << 10).min(most - room);
                more(bytes)?;
                room += bytes;
            }
            // One more than may be tells that there is more.
            let wanted = room + usize::from(room == most) - out.len();
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

    use super::super::shares::Holder;
    use super::*;

    fn limits(bytes: usize, decompressed: usize) -> BodyLimits {
        BodyLimits { bytes, decompressed, pause: Duration::from_millis(50) }
    }

    /// A room, and what a holder has of it.
    fn room(bytes: usize) -> (Room, OwnRoom) {
        let room = Room::new(bytes, Family::default());
        let own = of(&room, "acme");
        (room, own)
    }

    fn of(room: &Room, tenant: &str) -> OwnRoom {
        OwnRoom { share: room.shares.of(Holder::Tenant(tenant.to_owned())), refused: room.refused.clone() }
    }

    async fn read(coding: &'static str, body: Vec<u8>, limits: BodyLimits) -> Result<Bytes, (u16, &'static str)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let received = receive(&headers, Body::from(body), limits, &room(2 << 20).1).await;
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
        let (_, room) = room(1 << 20);
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

    /// A byte at a time, at a rate.
    fn drops(every: Duration) -> Body {
        struct Drops(Duration, std::pin::Pin<Box<tokio::time::Sleep>>);
        impl futures_core::Stream for Drops {
            type Item = Result<Bytes, std::io::Error>;
            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                let every = self.0;
                self.1.as_mut().poll(context).map(|()| {
                    self.1.as_mut().reset(Instant::now() + every);
                    Some(Ok(Bytes::from_static(b"x")))
                })
            }
        }
        Body::from_stream(Drops(every, Box::pin(tokio::time::sleep(every))))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_goes_on_by_drops_is_not_waited_for_either() {
        let (_, room) = room(1 << 20);
        let limits = BodyLimits { pause: Duration::from_millis(200), ..limits(4096, 4096) };
        let started = Instant::now();
        let received = receive(&HeaderMap::new(), drops(Duration::from_millis(20)), limits, &room).await;
        assert_eq!(received.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
        let took = started.elapsed();
        assert!(took >= limits.pause * 2 && took < limits.pause * PAUSES_MAX / 2, "{took:?}");
        // Room that was not to be had is not the sender's doing, and what it may never have is told as that.
        let (_, small) = self::room(8 << 10);
        let received = receive(&HeaderMap::new(), Body::from(vec![b'a'; 5 << 10]), limits, &small).await;
        assert_eq!(received.unwrap_err().code, "too_large");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sender_with_many_slow_bodies_leaves_room_to_others() {
        let (all, acme) = room(1 << 20);
        let limits = BodyLimits { pause: Duration::from_secs(60), ..limits(1 << 20, 1 << 20) };
        let slow = (0..16).map(|_| {
            let acme = acme.clone();
            tokio::spawn(
                async move { receive(&HeaderMap::new(), drops(Duration::from_millis(1)), limits, &acme).await.map(drop) },
            )
        });
        let slow: Vec<_> = slow.collect();
        while acme.share.try_take(64).is_some() {
            tokio::task::yield_now().await;
        }
        let umbrella = of(&all, "umbrella");
        for _ in 0..10 {
            receive(&HeaderMap::new(), Body::from(vec![b'a'; 400 << 10]), limits, &umbrella).await.unwrap();
        }
        slow.into_iter().for_each(|slow| slow.abort());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_that_want_more_room_than_there_is_do_not_wait_for_each_other() {
        let (_, room) = room(512 << 10);
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
