//! A large store that stays where it was made and is used again by the next run with the same seed and size.

use std::fs;
use std::path::PathBuf;

use indelible::{Config, Store};
use serde_json::{Value, json};

use crate::place::Place;
use crate::zipf::Zipf;
use crate::{Result, say, sealing, search};

/// A store that is kept, and how many events it has.
pub(crate) struct Kept {
    pub(crate) dir: PathBuf,
    seed: u64,
    gap_ms: u64,
    /// The number of the next event.
    pub(crate) next: u64,
}

impl Kept {
    /// The store in `dir`, by default one beside the directories of runs, if it is the one that is wanted; otherwise a new one.
    pub(crate) fn prepare(dir: Option<PathBuf>, place: &Place, zipf: &Zipf, events: u64, gap_ms: u64) -> Result<Self> {
        let dir = match dir {
            Some(dir) => dir,
            None => place.cache()?.join(format!("big-{events}-{gap_ms}-{}", zipf.seed)),
        };
        let mut kept = Self { dir, seed: zipf.seed, gap_ms, next: events };
        if let Some(next) = kept.known(events) {
            kept.next = next;
            return Ok(kept);
        }
        if kept.store().exists() {
            return Err(format!("{} holds another store; remove it or choose another --keep", kept.dir.display()).into());
        }
        fs::create_dir_all(&kept.dir)?;
        // Made under another name: what is called `store` is whole.
        let unfinished = kept.dir.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        say(&format!("making {events} events in {}", kept.dir.display()));
        search::fill(&unfinished, zipf, 0..events)?;
        fs::rename(&unfinished, kept.store())?;
        kept.remember()?;
        Ok(kept)
    }

    /// Seals what is not sealed yet. Earlier runs may have left much, which every question would look through.
    pub(crate) fn seal(&self) -> Result<()> {
        let store = Store::open(Config::new(self.store()))?;
        sealing::seal(&store)?;
        store.close()?;
        Ok(())
    }

    /// Its data directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The next event's number, if the store has at least these events.
    fn known(&self, events: u64) -> Option<u64> {
        let said: Value = serde_json::from_str(&fs::read_to_string(self.marker()).ok()?).ok()?;
        let number = |name: &str| said.get(name).and_then(Value::as_u64);
        let same = number("seed") == Some(self.seed) && number("gap_ms") == Some(self.gap_ms);
        number("next").filter(|next| same && *next >= events && self.store().exists())
    }

    pub(crate) fn remember(&self) -> Result<()> {
        let said = json!({"seed": self.seed, "gap_ms": self.gap_ms, "next": self.next});
        Ok(fs::write(self.marker(), said.to_string())?)
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("bench.json")
    }
}
