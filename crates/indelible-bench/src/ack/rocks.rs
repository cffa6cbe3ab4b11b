//! RocksDB (Apache-2.0) with synced writes; each event is one batch of the event and three index keys. It groups commits itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{DB, Options, WriteBatch, WriteOptions};

use super::{Round, Running, Subject, Writer};
use crate::Result;
use crate::events::Samples;

pub(super) struct RocksDb;

impl Subject for RocksDb {
    fn name(&self) -> &'static str {
        "RocksDB sync, 3 index keys"
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, round.dir.join("rocksdb"))?;
        Ok(Box::new(Open { db, seq: AtomicU64::new(0), samples: Arc::clone(&round.samples) }))
    }
}

struct Open {
    db: DB,
    seq: AtomicU64,
    samples: Arc<Samples>,
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let mut key = Vec::new();
        Ok(Box::new(move |event| {
            let sample = self.samples.at(event);
            #[expect(clippy::big_endian_bytes, reason = "keys sort as bytes")]
            let seq = self.seq.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            #[expect(clippy::big_endian_bytes, reason = "keys sort as bytes")]
            let time = sample.time_ns.to_be_bytes();
            let mut batch = WriteBatch::default();
            let mut put = |parts: &[&[u8]], value: &[u8]| {
                key.clear();
                for part in parts {
                    key.extend_from_slice(part);
                    key.push(0);
                }
                key.extend_from_slice(&seq);
                batch.put(&key, value);
            };
            put(&[b"e"], sample.json.as_bytes());
            put(&[b"t", sample.tenant.as_bytes(), &time], b"");
            put(&[b"a", sample.actor_id.as_bytes()], b"");
            put(&[b"x", sample.action.name().as_bytes()], b"");
            Ok(self.db.write_opt(batch, &options)?)
        }))
    }
}
