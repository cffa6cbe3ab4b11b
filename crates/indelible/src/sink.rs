//! A store as a sink: for layers, which must never make their caller wait.

use indelible_format::Draft;
use indelible_format::sink::{Refusal, Sink};

use crate::engine::Store;
use crate::error::ErrorKind;

impl Sink for Store {
    /// As [`try_emit`](Self::try_emit). A disabled store takes everything and records nothing.
    fn offer(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        match self.try_emit(draft) {
            Ok(ticket) if ticket.is_shed() && self.is_enabled() => Err(Refusal::Full),
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::Rejected => Refusal::Rejected,
                ErrorKind::Busy => Refusal::Full,
                _ => Refusal::Stopped,
            }),
        }
    }
}
