//! A listener hears every event once and in order, however far it falls behind, and knows in silence that it is still heard.

use futures_util::stream::BoxStream;
use indelible::{Draft, Store};

use super::*;
use crate::access::{Access, Masks, Scopes, TokenSpec};
use crate::config::{Config, Sources};
use crate::metrics::ByQuestion;
use crate::read::live::{Capacity, Live};

/// A server whose live tails hold so little.
fn server(dir: &tempfile::TempDir, capacity: Capacity) -> Arc<Server> {
    let store = Store::open(indelible::Config::new(dir.path())).unwrap();
    let access = Access::open(dir.path()).unwrap();
    let mut server = Server::new(store, access, Sources::default(), Config::default()).unwrap();
    server.live = Arc::new(Live::with(capacity));
    Arc::new(server)
}

type Pieces = BoxStream<'static, Bytes>;

/// Begins to listen to `action:a.b`.
fn listen(server: &Arc<Server>, heartbeat: Duration) -> (Pieces, Caller) {
    let scopes = Scopes::default().with(Scope::Read);
    let (name, masks) = ("listener".to_owned(), Masks::default());
    let spec = TokenSpec { name, scopes, tenants: None, masks, expires: None, events_per_second: None };
    let token = server.access.create_token(spec, server.now()).unwrap().token;
    let caller = Caller { token, address: None };
    let asked = Asked { q: Some("action:a.b".to_owned()), ..Asked::default() };
    let (filter, form) = (asked.filter(server, &caller).unwrap(), AnswerForm::Json);
    let query = asked.query(&filter, &server.identity, 0).unwrap();
    let key = Key::of(&filter, 0, &query, caller.masks(), form).unwrap();
    let listening = server.live.listen(&server.store, key, query.clone(), &caller.tenants(), caller.masks()).unwrap();
    let (server, position, heard_by) = (Arc::clone(server), Position::default(), caller.clone());
    let place = server.tails.of(caller.holder()).try_take(1).unwrap();
    let heard = Heard { server, caller, form, query, position, listening, behind: false };
    (Listener::new(heard, heartbeat, place).pieces().boxed(), heard_by)
}

async fn next(pieces: &mut Pieces) -> Option<String> {
    let piece = tokio::time::timeout(Duration::from_secs(20), pieces.next()).await.expect("it goes on or ends");
    piece.map(|piece| String::from_utf8(piece.to_vec()).unwrap())
}

/// The numbers that these pieces tell, until there are `count`.
async fn numbers(pieces: &mut Pieces, count: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < count {
        let piece = next(pieces).await.expect("it goes on");
        for json in piece.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: serde_json::Value = serde_json::from_str(json).unwrap();
            numbers.push(event["details"]["nth"].as_u64().unwrap());
        }
    }
    numbers
}

/// Records these numbers, and as many events that nobody listens to.
fn emit(server: &Server, numbers: std::ops::Range<u64>) {
    for nth in numbers {
        server.store.emit(&Draft::new("a.b").detail("nth", nth)).unwrap();
        server.store.emit(&Draft::new("c.d")).unwrap();
    }
    server.store.flush().unwrap();
}

fn times_caught_up(server: &Server) -> u64 {
    server.metrics.questions.get_or_create(&ByQuestion { question: Question::Tail }).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_did_not_keep_up_hears_every_event_once_and_in_order() {
    const EVENTS: u64 = 3_000;
    for (capacity, what) in [
        (Capacity { tap_events: 16_384, group_messages: 4 }, "its group's channel overflows"),
        (Capacity { tap_events: 1, group_messages: 1_024 }, "the tap overflows"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir, capacity);
        let (mut pieces, _) = listen(&server, Duration::from_secs(3_600));
        // Nobody takes anything; then somebody does while more comes; then nothing more comes.
        emit(&server, 0..EVENTS / 2);
        let busy = Arc::clone(&server);
        let more = tokio::task::spawn_blocking(move || emit(&busy, EVENTS / 2..EVENTS));
        let heard = numbers(&mut pieces, EVENTS).await;
        more.await.unwrap();
        assert_eq!(heard, (0..EVENTS).collect::<Vec<_>>(), "{what}");
        assert!(times_caught_up(&server) > 0, "{what}");
        emit(&server, EVENTS..EVENTS + 1);
        assert_eq!(numbers(&mut pieces, 1).await, [EVENTS], "then live: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_silence_heartbeats_come_and_they_end_with_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir, Capacity::default());
    let (mut pieces, caller) = listen(&server, Duration::from_millis(20));
    assert!(next(&mut pieces).await.unwrap().ends_with(": listening\n\n"));
    for _ in 0..3 {
        assert_eq!(next(&mut pieces).await.as_deref(), Some(": heartbeat\n\n"));
    }
    server.access.revoke_token(&caller.token.id, server.now()).unwrap();
    while let Some(piece) = next(&mut pieces).await {
        assert_eq!(piece, ": heartbeat\n\n");
    }
    assert_eq!(server.metrics.tails.get(), 0);
}

#[test]
fn positions_are_read_as_they_are_written_and_only_go_forward() {
    let mut position = Position::parse("1:4711,2:33").unwrap();
    assert_eq!(position.text(), "1:4711,2:33");
    assert!(position.advance(1, 4711) && !position.advance(1, 4711) && position.advance(1, 4720) && position.advance(3, 0));
    assert_eq!(position.text(), "1:4721,2:33,3:1");
    for wrong in ["", "1", "1:", "a:1", "1:1;2:2", "1:-1"] {
        assert!(Position::parse(wrong).is_err(), "{wrong}");
    }
}
