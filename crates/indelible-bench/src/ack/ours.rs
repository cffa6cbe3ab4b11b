//! Our store: every writer calls `append`.

use std::sync::Arc;

use indelible::{Config, Durability, Store};

use super::{Round, Running, Subject, Writer};
use crate::Result;
use crate::events::Samples;

pub(super) const NAME: &str = "indelible";

pub(super) struct Ours;

impl Subject for Ours {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        let mut config = Config::new(round.dir.join("store"));
        config.durability = Durability::Immediate;
        Ok(Box::new(Open { store: Store::open(config)?, samples: Arc::clone(&round.samples) }))
    }
}

struct Open {
    store: Store,
    samples: Arc<Samples>,
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        Ok(Box::new(|event| {
            self.store.append(&self.samples.at(event).draft())?;
            Ok(())
        }))
    }

    fn frame_bytes(&self) -> Option<usize> {
        let stats = self.store.stats();
        usize::try_from(stats.bytes.checked_div(stats.frames)?).ok().map(|bytes| bytes.next_multiple_of(SECTOR_BYTES))
    }
}

const SECTOR_BYTES: usize = 512;
