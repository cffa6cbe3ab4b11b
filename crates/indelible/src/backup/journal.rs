//! Where the journal stands at one moment: which of its files are needed, how far each is durable, and what the logs are there.

use std::collections::BTreeMap;
use std::path::Path;

use indelible_format::Hash;
use indelible_format::frame::FLAG_CARRY;

use crate::commit::journal::file_name;
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::read::frames::{Cursor, End, Next, durable_limit};
use crate::seal::{Manifest, sealer};
use crate::world::World;

/// One file of the journal.
pub(super) struct Piece {
    pub(super) number: u64,
    /// Where its last durable frame ends.
    pub(super) bytes: u64,
    /// Number of the frame behind that.
    pub(super) next: u64,
    /// Hash of the last frame.
    pub(super) hash: Hash,
}

/// The durable part of the journal.
pub(super) struct Journal {
    pub(super) pieces: Vec<Piece>,
    pub(super) heads: Vec<LogHead>,
}

impl Journal {
    /// Reads the journal behind what `manifest` says is sealed. Every checksum is verified on the way.
    ///
    /// # Errors
    /// `Corrupt`: it is broken, or a writer has sealed and removed what was to be read next.
    pub(super) fn read(world: &World, dir: &Path, identity: &Identity, manifest: &Manifest) -> Result<Self> {
        let limit = durable_limit(world, dir, &identity.store)?;
        let mut heads: BTreeMap<u32, LogHead> = BTreeMap::new();
        if manifest.generation > 0 {
            let state = sealer::read_state(world, dir, manifest)?;
            heads.extend(state.logs.iter().filter(|log| log.size() > 0).map(|log| (log.log, log.head())));
        }
        let start = &manifest.start;
        let mut cursor = Cursor::new(world, dir, identity.store, start, limit)?;
        if cursor.first()?.is_some_and(|first| first != (start.lsn, start.prev)) {
            return Err(broken("it does not begin where the segments end"));
        }
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            let (number, bytes) = match cursor.next()? {
                Next::Frame(frame, place) => {
                    if frame.meta.flags & FLAG_CARRY == 0 {
                        heads.extend(frame.meta.logs.iter().map(|change| {
                            let size = change.first_seq.saturating_add(u64::from(change.count));
                            (change.log, LogHead { log: change.log, size, root: change.root })
                        }));
                    }
                    (place.file, place.offset + frame.frame_bytes as u64)
                }
                Next::End(End::Clean | End::Torn(_) | End::Limit) => break,
                Next::End(End::Gone) => return Err(broken("a file went away while it was read")),
                Next::End(End::Broken { file, offset, why }) => {
                    return Err(broken(&format!("byte {offset} of journal/{}: {why:?}", file_name(file))));
                }
            };
            let piece = Piece { number, bytes, next: cursor.next_lsn, hash: cursor.prev };
            match pieces.last_mut() {
                Some(last) if last.number == number => *last = piece,
                _ => pieces.push(piece),
            }
        }
        // With nobody writing, all valid frames count. Who has begun since may have written one that is not durable yet.
        let now = durable_limit(world, dir, &identity.store)?;
        if limit.is_none() && now.is_some_and(|now| now < cursor.next_lsn) {
            return Err(broken("a writer began while it was read"));
        }
        Ok(Self { pieces, heads: heads.into_values().collect() })
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the journal cannot be backed up: {what}"))
        .with_hint("run `indelible verify` for all findings; the backup that was there stays as it was")
}
