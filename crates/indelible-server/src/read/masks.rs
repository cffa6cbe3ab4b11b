//! What a caller may not see, it may not ask about either: a query that finds an event by its actor tells the actor.

use indelible::Tag;
use indelible::search::{Filter, KnownField, Name};

use crate::access::Masks;
use crate::http::Problem;

/// Which group of an event a field is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Head,
    Identity,
    Content,
    /// Either, or both.
    Both,
}

fn group(name: &Name) -> Group {
    match name {
        // A foreign record's details stand in both groups.
        Name::Details(_) => Group::Both,
        Name::Field(field) => match field {
            KnownField::ActorId
            | KnownField::ActorName
            | KnownField::ActorType
            | KnownField::ActorEmail
            | KnownField::Session
            | KnownField::OriginIp
            | KnownField::OriginHost
            | KnownField::OriginUserAgent => Group::Identity,
            KnownField::Target | KnownField::TargetType | KnownField::TargetId | KnownField::TargetName => Group::Content,
            KnownField::Raw | KnownField::RawMediaType => Group::Both,
            _ => Group::Head,
        },
        _ => Group::Both,
    }
}

fn hides(masks: Masks, group: Group) -> bool {
    match group {
        Group::Head => false,
        Group::Identity => masks.identity,
        Group::Content => masks.content,
        Group::Both => masks.any(),
    }
}

/// Whether a filter asks about nothing that is masked.
///
/// # Errors
/// 403, naming the field.
pub(crate) fn check(filter: &Filter, masks: Masks) -> Result<(), Problem> {
    if !masks.any() {
        return Ok(());
    }
    match filter {
        Filter::All => Ok(()),
        Filter::Text(_) => Err(refused("free text")),
        Filter::Term(name, _) => field(name, masks),
        Filter::And(all) | Filter::Or(all) => all.iter().try_for_each(|one| check(one, masks)),
        Filter::Not(one) => check(one, masks),
    }
}

/// Whether a field is not masked.
///
/// # Errors
/// 403, naming it.
pub(crate) fn field(name: &Name, masks: Masks) -> Result<(), Problem> {
    if hides(masks, group(name)) { Err(refused(&name.to_string())) } else { Ok(()) }
}

fn refused(what: &str) -> Problem {
    Problem::forbidden(format!("{what} is masked for this token"))
        .hint("ask by action, outcome, severity, time, tenant or source")
}

/// The groups that are not shown.
pub(crate) const fn hidden(masks: Masks) -> &'static [Tag] {
    match (masks.identity, masks.content) {
        (false, false) => &[],
        (true, false) => &[Tag::IDENTITY, Tag::RAW],
        (false, true) => &[Tag::CONTENT, Tag::RAW],
        (true, true) => &[Tag::IDENTITY, Tag::CONTENT, Tag::RAW],
    }
}
