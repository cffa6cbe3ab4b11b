//! Who does not keep up is told so, and who asks the same at another time asks something else.

use indelible::{Config, Draft};

use super::*;

const HOUR: i64 = 3_600_000_000_000;

fn key(text: &str, now: i64) -> Key {
    let filter = Filter::parse(text).unwrap();
    let query = Query::new(&filter, now).unwrap();
    Key::of(&filter, now, &query, Masks::default(), AnswerForm::Json).unwrap()
}

#[test]
fn listeners_share_a_group_only_if_their_times_are_the_same_moments() {
    let now = 1_769_853_600_000_000_000;
    for same in ["", "action:a.b", "time:>=2026-01-31", "action:a.b OR actor:x"] {
        assert_eq!(key(same, now), key(same, now + HOUR), "{same}");
    }
    for moving in ["time:<=now+1h", "action:a.b AND NOT received:<now-5m", "time:today"] {
        assert_eq!(key(moving, now), key(moving, now), "{moving}");
        assert_ne!(key(moving, now), key(moving, now + 25 * HOUR), "{moving}");
    }
    assert_ne!(key("action:a.b", now), key("action:a.c", now));
}

#[tokio::test]
async fn when_the_tap_overflows_every_group_is_told_that_it_missed_something() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    let live = Arc::new(Live::with(Capacity { tap_events: 8, group_messages: 1_024 }));
    let listen = |text: &str| {
        let query = Query::new(&Filter::parse(text).unwrap(), 0).unwrap();
        live.listen(&store, key(text, 0), query, &Tenants::All, Masks::default()).unwrap()
    };
    let mut groups = [listen(""), listen("action:never.seen")];
    {
        // The thread that empties the tap has to wait here.
        let _held = live.groups.lock();
        for _ in 0..20 {
            store.append(&Draft::new("a.b")).unwrap();
        }
    }
    for group in &mut groups {
        loop {
            let told = tokio::time::timeout(Duration::from_secs(20), group.recv()).await.expect("it is told");
            match told.unwrap() {
                Message::Missed => break,
                Message::Event(event) => assert!(event.seq < 20),
            }
        }
    }
}
