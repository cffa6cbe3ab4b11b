//! Signs of life that depend on being alive.

use std::time::Duration;

use indelible::{ErrorKind, Store};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Manager;

/// Gives a sign of life twice within the manager's limit, for as long as the server is well: its runtime came round to this, and its committer
/// answered within that time. Without a limit nobody waits for signs, and it returns.
///
/// A disk that is full is no reason to be started anew: events are refused, and the rest goes on. A store that has stopped is one, because only
/// opening it again goes on from what is on disk.
pub(crate) async fn keep_alive(manager: Manager, store: Store) {
    let Some(limit) = manager.limit() else { return };
    let period = limit / 2;
    let mut beat = interval(period.max(Duration::from_millis(1)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        beat.tick().await;
        let asked = store.clone();
        let mut answer = tokio::task::spawn_blocking(move || asked.flush());
        let in_time = timeout(period, &mut answer).await;
        let late = in_time.is_err();
        let answer = match in_time {
            Ok(answer) => answer,
            Err(_) => {
                manager.status(&format!("the store has not answered for {} s", period.as_secs_f64()));
                // One question hangs at a time, however long it does.
                answer.await
            }
        };
        let problem = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Closed) => Some(error.to_string()),
            // It refuses for now, which is an answer.
            Ok(Err(_)) => None,
            Err(panic) => Some(panic.to_string()),
        };
        match problem {
            Some(problem) => {
                manager.status(&format!("the store has stopped: {problem}"));
                was_well = false;
            }
            None => {
                if late || !was_well {
                    manager.status("the store answers again");
                }
                was_well = true;
                manager.alive();
            }
        }
    }
}
