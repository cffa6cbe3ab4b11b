//! Answers on their way to whoever asked. A peer that takes nothing for too long is not waited for, and what waits for slow ones is
//! bounded.
//!
//! Two places have to look, because a peer can stop in two ways:
//!
//! - It does not read its socket: a write to it does not end. [`Patient`] fails it, and the connection with it.
//! - It reads, and answers pings, but opens no window for a stream of HTTP/2 (or a byte now and then): nothing is written that could
//!   fail. So each larger answer is handed over in pieces and looked after. When nobody takes the next piece in time, or they are taken
//!   more slowly than anybody has to take them, the answer is dropped: of the stream, one piece is left, and the rest of the connection,
//!   which may be a proxy's for many, goes on.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep};

use super::heads::Unread;
use super::problem::Problem;
use crate::metrics::{Broken, Metrics};

/// Bytes that are handed over at once: what a stream whose peer opens no window may hold. Smaller answers are not looked after.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes of all whole answers that wait to be taken: one that does not fit is not given.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// How many of the longest pauses a whole answer may take, as for bodies of requests.
const PAUSES_MAX: u32 = 10;

/// Bytes that have to be taken for each second in which the peer is waited for.
const LEAST_RATE: u32 = 4 << 10;
/// Over how many of the longest pauses that is measured: a minute, where each is half of one.
const WINDOW_PAUSES: u32 = 2;

/// Answers of all connections.
#[derive(Clone)]
pub(crate) struct Answers {
    /// In KiB, so that it fits a semaphore.
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// For the next piece to be taken.
    pause: Duration,
}

/// Those of one connection.
#[derive(Clone)]
pub(crate) struct Taking {
    answers: Answers,
    /// Whether its peer did not take something in time; counted once.
    failed: Arc<AtomicBool>,
}

impl Answers {
    /// `pause`: how long a peer may take nothing.
    pub(crate) fn new(metrics: Arc<Metrics>, pause: Duration) -> Self {
        Self { room: Arc::new(Semaphore::new(WAITING_BYTES_MAX >> 10)), metrics, pause }
    }

    pub(crate) fn connection(&self) -> Taking {
        Taking { answers: self.clone(), failed: Arc::default() }
    }
}

impl Taking {
    /// A stream whose writes end in time, or fail; and so do reads that there is no room for.
    pub(crate) fn patient<S>(&self, stream: S, unread: Unread) -> Patient<S> {
        Patient { stream, unread, taking: self.clone(), timer: Box::pin(sleep(self.answers.pause)), waits: false }
    }

    /// An answer that is looked after; 503 in its place if too much waits already.
    pub(crate) fn look_after(&self, response: Response) -> Response {
        let size = response.body().size_hint().exact();
        let place = match size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)) {
            Some(..=PIECE_BYTES) => return response,
            Some(bytes) => {
                let kib = u32::try_from(bytes.min(WAITING_BYTES_MAX) >> 10).unwrap_or(u32::MAX);
                match Arc::clone(&self.answers.room).try_acquire_many_owned(kib) {
                    Ok(place) => Some(place),
                    Err(_) => return Problem::busy("too many answers wait for those who asked to take them").into_response(),
                }
            }
            // Made as it is taken, with bounds of its own.
            None => None,
        };
        let whole = place.is_some().then(|| self.answers.pause * PAUSES_MAX);
        response.map(|body| {
            let pace = Pace { window: self.answers.pause * WINDOW_PAUSES, waited: Duration::ZERO, taken: 0 };
            let state = State { body: Some(body), rest: Bytes::new(), given: None, pace, taking: self.clone(), place };
            let way = Arc::new(Way(Mutex::new(state)));
            let watching = tokio::spawn(watch(Arc::downgrade(&way), self.answers.pause, whole));
            Body::new(Pieces { way, watching: watching.abort_handle() })
        })
    }

    fn fail(&self) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.answers.metrics.broken(Broken::Idle);
        }
    }
}

/// An answer, between whoever makes it and the connection. Nothing that is done under its lock waits.
struct Way(Mutex<State>);

struct State {
    /// `None`: it was not taken in time.
    body: Option<Body>,
    /// Of a piece that was too large to hand over at once.
    rest: Bytes,
    /// When the piece was handed over behind which the connection has not asked for more; `None` when it waits for us.
    given: Option<Instant>,
    pace: Pace,
    taking: Taking,
    place: Option<OwnedSemaphorePermit>,
}

/// How fast an answer is taken, while it is its peer that is waited for: what is made slowly, or seldom, is not slowly taken.
struct Pace {
    window: Duration,
    /// Of this window: for how long the peer was waited for, and what it took.
    waited: Duration,
    taken: usize,
}

impl Pace {
    /// Counts a piece. Whether a window has ended in which too little was taken.
    fn is_too_slow(&mut self, waited: Duration) -> bool {
        self.waited += waited;
        if self.waited < self.window {
            return false;
        }
        let least = u128::from(LEAST_RATE) * self.waited.as_millis() / 1_000;
        let is_too_slow = (self.taken as u128) < least;
        (self.waited, self.taken) = (Duration::ZERO, 0);
        is_too_slow
    }
}

impl State {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(given) = self.given.take()
            && self.pace.is_too_slow(given.elapsed())
        {
            self.give_up();
        }
        if self.rest.is_empty() {
            let Some(body) = &mut self.body else {
                return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
            };
            match std::task::ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => {
                        self.given = Some(Instant::now());
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                },
                ended => return Poll::Ready(ended),
            }
        }
        self.given = Some(Instant::now());
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        self.pace.taken += piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Drops what is left of it. Whoever makes it is told by that, and does not wait for this lock.
    fn give_up(&mut self) {
        (self.body, self.rest, self.given, self.place) = (None, Bytes::new(), None, None);
        self.taking.fail();
    }
}

/// The connection's end of an answer.
struct Pieces {
    way: Arc<Way>,
    watching: AbortHandle,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.way.0.lock().next(context)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.way.0.lock();
        state.rest.is_empty() && state.body.as_ref().is_some_and(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.way.0.lock();
        let Some(body) = &state.body else { return SizeHint::default() };
        let (behind, rest) = (body.size_hint(), state.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(behind.lower() + rest);
        if let Some(upper) = behind.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Drops an answer whose next piece is not taken in time, or that is not taken within `whole`.
async fn watch(way: Weak<Way>, pause: Duration, whole: Option<Duration>) {
    let begun = Instant::now();
    loop {
        let left = {
            let Some(way) = way.upgrade() else { return };
            let mut state = way.0.lock();
            let left = state.given.map_or(pause, |given| pause.saturating_sub(given.elapsed()));
            let left = whole.map_or(left, |whole| left.min(whole.saturating_sub(begun.elapsed())));
            if left.is_zero() {
                return state.give_up();
            }
            left
        };
        sleep(left).await;
    }
}

/// A stream whose peer has to take what is written: a write that waits for longer than it may fails. What it sends before anybody knows it
/// has to find room.
pub(crate) struct Patient<S> {
    stream: S,
    unread: Unread,
    taking: Taking,
    /// Runs while a write waits.
    timer: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S: Unpin> Patient<S> {
    fn within<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let written = write(Pin::new(&mut this.stream), context);
        if written.is_ready() {
            this.waits = false;
            return written;
        }
        if !std::mem::replace(&mut this.waits, true) {
            this.timer.as_mut().reset(Instant::now() + this.taking.answers.pause);
        }
        std::task::ready!(this.timer.as_mut().poll(context));
        this.taking.fail();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, most) = (into.filled().len(), self.unread.most());
        if into.remaining() > most {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
            std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            let read = part.filled().len();
            into.advance(read);
        } else {
            std::task::ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        }
        if self.unread.came(into.filled().len() - before) {
            return Poll::Ready(Ok(()));
        }
        self.taking.answers.metrics.broken(Broken::NoRoom);
        Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Flushing alone is no answer: that is asked for whenever something has come.
        self.unread.done();
        self.within(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unread.done();
        self.within(context, |stream, context| stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::heads::Heads;
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    fn answers() -> Answers {
        Answers::new(Arc::new(Metrics::new()), PAUSE)
    }

    fn large() -> Vec<u8> {
        (0..100_000_u32).map(|nth| nth.to_le_bytes()[0]).collect()
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_is_what_it_was_in_pieces() {
        let answers = answers();
        let taking = answers.connection();
        let mut body = taking.look_after(Response::new(Body::from(large()))).into_body();
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let (mut taken, mut pieces) = (Vec::new(), 0);
        while !body.is_end_stream() {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            taken.extend_from_slice(&piece);
            pieces += 1;
            assert_eq!(body.size_hint().exact(), Some(100_000 - taken.len() as u64));
        }
        assert_eq!((taken, pieces), (large(), 7));
        drop(body);
        assert_eq!(answers.room.available_permits(), WAITING_BYTES_MAX >> 10, "its room is free");
        assert!(!taking.failed.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_in_time_is_dropped_and_one_that_waits_for_us_is_not() {
        let answers = answers();
        let taking = answers.connection();
        let mut body = taking.look_after(Response::new(Body::from(large()))).into_body();
        body.frame().await.unwrap().unwrap();
        assert!(answers.room.available_permits() < WAITING_BYTES_MAX >> 10);
        sleep(PAUSE * 3).await;
        assert_eq!(answers.room.available_permits(), WAITING_BYTES_MAX >> 10, "nothing is kept of it");
        assert!(!body.is_end_stream() && body.frame().await.unwrap().is_err());
        assert!(taking.failed.load(Ordering::Relaxed));
        // Whoever makes the next piece may take its time.
        let taking = answers.connection();
        let late = Late(Box::pin(sleep(PAUSE * 3)));
        let mut body = taking.look_after(Response::new(Body::new(late))).into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "late");
        assert!(!taking.failed.load(Ordering::Relaxed));
    }

    /// A body whose piece is long in the making.
    struct Late(Pin<Box<Sleep>>);

    impl hyper::body::Body for Late {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            self.0.as_mut().poll(context).map(|()| Some(Ok(Frame::data(Bytes::from_static(b"late")))))
        }
    }

    #[tokio::test]
    async fn an_answer_of_a_known_size_that_comes_by_drops_ends_too() {
        let taking = answers().connection();
        let mut body = taking.look_after(Response::new(Body::from(vec![0; 4 << 20]))).into_body();
        let begun = Instant::now();
        while let Some(Ok(_)) = body.frame().await {
            sleep(PAUSE / 4).await;
            assert!(begun.elapsed() < PAUSE * 30);
        }
        assert!(begun.elapsed() >= PAUSE * PAUSES_MAX && taking.failed.load(Ordering::Relaxed));
    }

    /// A body without an end, in pieces of so many bytes.
    struct Endless(usize);

    impl hyper::body::Body for Endless {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(Some(Ok(Frame::data(vec![0; self.0].into()))))
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_taken_by_drops_ends_and_one_that_is_taken_well_goes_on() {
        let taking = answers().connection();
        // Every 25 ms, that is 2.5 KiB a second, and 160.
        for (bytes, ends) in [(64, true), (4_096, false)] {
            let mut body = taking.look_after(Response::new(Body::new(Endless(bytes)))).into_body();
            let begun = Instant::now();
            let mut goes_on = true;
            while goes_on && begun.elapsed() < PAUSE * 10 {
                sleep(PAUSE / 4).await;
                goes_on = body.frame().await.unwrap().is_ok();
            }
            assert_eq!(goes_on, !ends, "{bytes}");
            assert_eq!(taking.failed.swap(false, Ordering::Relaxed), ends);
        }
    }

    #[tokio::test]
    async fn what_has_no_room_is_not_given() {
        let answers = answers();
        let taking = answers.connection();
        let nearly_all = u32::try_from(WAITING_BYTES_MAX >> 10).unwrap() - 90;
        let held = Arc::clone(&answers.room).try_acquire_many_owned(nearly_all).unwrap();
        assert_eq!(taking.look_after(Response::new(Body::from(large()))).status(), 503);
        assert_eq!(taking.look_after(Response::new(Body::from(vec![0; PIECE_BYTES]))).status(), 200, "small ones always");
        drop(held);
        assert_eq!(taking.look_after(Response::new(Body::from(large()))).status(), 200);
    }

    #[tokio::test]
    async fn a_write_that_waits_too_long_fails_and_one_that_gets_on_does_not() {
        let answers = answers();
        let (near, mut far) = tokio::io::duplex(1_000);
        let taking = answers.connection();
        let mut stream = taking.patient(near, Heads::new().connection());
        let reading = tokio::spawn(async move {
            let mut some = [0; 1_000];
            for _ in 0..8 {
                sleep(PAUSE / 2).await;
                far.read_exact(&mut some).await.unwrap();
            }
            far
        });
        stream.write_all(&[1; 8_000]).await.unwrap();
        assert!(!taking.failed.load(Ordering::Relaxed));
        let _far = reading.await.unwrap();
        let error = stream.write_all(&[1; 8_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(taking.failed.load(Ordering::Relaxed));
    }
}
