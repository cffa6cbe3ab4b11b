//! From a filter to what runs: values are read once, by the kind of their field, and tests are ordered by what they cost.

use indelible_format::Field;

use super::decimal::Decimal;
use super::error::{FilterError, FilterErrorKind, cut, nearest};
use super::fields::{FieldKind, KnownField, Name, Step, list};
use super::glob::Glob;
use super::matcher::{HeadText, Leaf, Node, Number, Order, TargetText, ValueTest, Words};
use super::network::Network;
use super::path::Path;
use super::{Filter, Limit, Pattern, Piece, Test, WILDCARDS_MAX};
use crate::search::time::{self, TimeSpan};

/// Levels of a filter. A parsed one stays far below; one that was built must not make us recurse without bound.
const LEVELS_MAX: usize = 256;

pub(super) fn compile(filter: &Filter, now: i64) -> Result<Node, FilterError> {
    node(filter, now, 0)
}

/// Whether `filter`, a single term, means something.
pub(super) fn check(filter: &Filter) -> Result<(), FilterError> {
    node(filter, 0, 0).map(|_| ())
}

fn node(filter: &Filter, now: i64, level: usize) -> Result<Node, FilterError> {
    if level > LEVELS_MAX {
        let message = format!("the filter is nested deeper than {LEVELS_MAX}");
        return Err(FilterError::new(FilterErrorKind::Limit, message).hint("build wide filters with all_of and any_of"));
    }
    let each = |filters: &[Filter]| -> Result<Vec<Node>, FilterError> {
        let mut nodes = filters.iter().map(|filter| node(filter, now, level + 1)).collect::<Result<Vec<_>, _>>()?;
        // Cheap tests decide first; ties keep the order in which they were written.
        nodes.sort_by_key(Node::cost);
        Ok(nodes)
    };
    Ok(match filter {
        Filter::All => Node::All,
        Filter::Text(pattern) => Node::Leaf(Leaf::Text(within(pattern)?)),
        Filter::Term(name, test) => term(name, test, now)?,
        Filter::And(filters) => Node::And(each(filters)?.into()),
        Filter::Or(filters) => Node::Or(each(filters)?.into()),
        Filter::Not(inner) => Node::Not(Box::new(node(inner, now, level + 1)?)),
    })
}

fn term(name: &Name, test: &Test, now: i64) -> Result<Node, FilterError> {
    let field = match name {
        Name::Unknown(name) => return Err(Name::unknown(name)),
        Name::Details(steps) => return details(steps, test).map(Node::Leaf),
        Name::Field(field) => *field,
    };
    // An open range asks the same as existence.
    let test = if matches!(test, Test::Between { low: None, high: None }) { &Test::Exists } else { test };
    match field.info().kind {
        FieldKind::Word(words) | FieldKind::Rank(words) => word(field, words, test),
        FieldKind::Number => number(field, test),
        FieldKind::Time => moment(field, test, now),
        FieldKind::Address => address(test),
        FieldKind::Text | FieldKind::Target | FieldKind::Bytes | FieldKind::Json => text(field, test),
    }
}

fn word(field: KnownField, words: &[&str], test: &Test) -> Result<Node, FilterError> {
    let Some(vocabulary) = Words::of(field) else { return Ok(Node::All) };
    let rank = |text: &str| {
        words.iter().position(|word| word.eq_ignore_ascii_case(text)).ok_or_else(|| {
            let near = nearest(text, words.iter().copied());
            let all = format!("{} is one of {}", field.info().name, list(words));
            let hint = if near.is_empty() { all } else { format!("did you mean {}? {all}", list(&near)) };
            FilterError::value(format!("\"{}\" is no {}", cut(text), field.info().name)).hint(hint)
        })
    };
    let (low, high) = match test {
        Test::Exists => return Ok(Node::All),
        Test::Is(pattern) => {
            let rank = rank(literal(field, pattern)?)?;
            (rank, rank + 1)
        }
        Test::Between { low, high } => {
            if !matches!(field.info().kind, FieldKind::Rank(_)) {
                return Err(unordered(field).hint(format!("name the words: {}:({})", field.info().name, words.join(" OR "))));
            }
            let first = low.as_ref().map(|low| rank(&low.value).map(|rank| rank + usize::from(!low.inclusive)));
            let last = high.as_ref().map(|high| rank(&high.value).map(|rank| rank + usize::from(high.inclusive)));
            (first.transpose()?.unwrap_or(0), last.transpose()?.unwrap_or(words.len()))
        }
    };
    upright(low, high)?;
    let mask = (low..high).fold(0u8, |mask, rank| mask | vocabulary.bit(rank));
    Ok(if mask == 0 { Node::nothing() } else { Node::Leaf(Leaf::Words(vocabulary, mask)) })
}

fn number(field: KnownField, test: &Test) -> Result<Node, FilterError> {
    let Some(number) = Number::of(field) else { return Ok(Node::All) };
    let read = |text: &str| {
        text.parse::<u64>().ok().filter(|_| !text.starts_with('+')).ok_or_else(|| {
            let message = format!("{} is a whole number from 0, and \"{}\" is not", field.info().name, cut(text));
            FilterError::value(message).hint(format!("write {0}:5, {0}:>=100 or {0}:[1 TO 5]", field.info().name))
        })
    };
    let (low, high) = match test {
        Test::Exists => return Ok(if number.is_optional() { Node::Leaf(Leaf::Number(number, 0, u64::MAX)) } else { Node::All }),
        Test::Is(pattern) => {
            let value = read(literal(field, pattern)?)?;
            (Some(value), Some(value))
        }
        Test::Between { low, high } => {
            let values =
                (low.as_ref().map(|low| read(&low.value)).transpose()?, high.as_ref().map(|high| read(&high.value)).transpose()?);
            if let (Some(low), Some(high)) = values {
                upright(low, high)?;
            }
            let low = low.as_ref().map_or(Some(0), |low| values.0?.checked_add(u64::from(!low.inclusive)));
            let high = high.as_ref().map_or(Some(u64::MAX), |high| values.1?.checked_sub(u64::from(!high.inclusive)));
            (low, high)
        }
    };
    Ok(match (low, high) {
        (Some(low), Some(high)) if low <= high => Node::Leaf(Leaf::Number(number, low, high)),
        _ => Node::nothing(),
    })
}

fn moment(field: KnownField, test: &Test, now: i64) -> Result<Node, FilterError> {
    let received = field == KnownField::Received;
    let read = |text: &str| -> Result<TimeSpan, FilterError> {
        time::parse_span(text, now).map_err(|error| FilterError::value(error.message).hint(error.hint))
    };
    let (first, last) = match test {
        Test::Exists => return Ok(Node::All),
        Test::Is(pattern) => {
            let span = read(literal(field, pattern)?)?;
            (Some(span.first), Some(span.last))
        }
        Test::Between { low, high } => {
            // A day is all of its hours: > means after its end, <= until its end.
            let first = |limit: &Limit| {
                read(&limit.value).map(|span| if limit.inclusive { Some(span.first) } else { span.last.checked_add(1) })
            };
            let last = |limit: &Limit| {
                read(&limit.value).map(|span| if limit.inclusive { Some(span.last) } else { span.first.checked_sub(1) })
            };
            (low.as_ref().map_or(Ok(Some(i64::MIN)), first)?, high.as_ref().map_or(Ok(Some(i64::MAX)), last)?)
        }
    };
    Ok(match (first, last) {
        (Some(first), Some(last)) if first <= last => Node::Leaf(Leaf::Time { received, first, last }),
        _ => Node::nothing(),
    })
}

fn address(test: &Test) -> Result<Node, FilterError> {
    let leaf = match test {
        Test::Exists => Leaf::Address { glob: None, network: None },
        Test::Between { .. } => return Err(unordered(KnownField::OriginIp).hint("name a network: ip:10.0.0.0/8")),
        Test::Is(pattern) => {
            let network = pattern.as_literal().and_then(Network::parse);
            if let Some(text) = pattern.as_literal().filter(|text| text.contains('/') && network.is_none()) {
                return Err(FilterError::value(format!("\"{}\" is no network", cut(text)))
                    .hint("write ip:10.0.0.0/8 or ip:2001:db8::/32"));
            }
            Leaf::Address { glob: Some(exact(pattern)?), network }
        }
    };
    Ok(Node::Leaf(leaf))
}

fn text(field: KnownField, test: &Test) -> Result<Node, FilterError> {
    let pattern = match test {
        Test::Exists => None,
        Test::Is(pattern) => Some(pattern),
        Test::Between { .. } => {
            return Err(unordered(field)
                .hint("times, numbers, severity and members of details have an order; text has wildcards: action:iam.*"));
        }
    };
    let glob = match pattern {
        None => None,
        Some(pattern) => Some(match field {
            KnownField::Raw => within(pattern)?,
            KnownField::Trace => exact(&hexadecimal(field, pattern, 32)?)?,
            KnownField::Span => exact(&hexadecimal(field, pattern, 16)?)?,
            _ => exact(pattern)?,
        }),
    };
    let span = |field: Field| Leaf::Span(field, glob.clone());
    let head = |text: HeadText| Leaf::Head(text, glob.clone());
    let target = |text: TargetText| Leaf::Target(text, glob.clone());
    Ok(Node::Leaf(match field {
        KnownField::Action => head(HeadText::Action),
        KnownField::Id => head(HeadText::Id),
        KnownField::Tenant => head(HeadText::Tenant),
        KnownField::Source => head(HeadText::Source),
        KnownField::Framework => head(HeadText::Framework),
        KnownField::Producer => head(HeadText::Producer),
        KnownField::Trace => head(HeadText::Trace),
        KnownField::Span => head(HeadText::Span),
        KnownField::ActorId => span(Field::ActorId),
        KnownField::ActorName => span(Field::ActorName),
        KnownField::ActorType => span(Field::ActorType),
        KnownField::ActorEmail => span(Field::ActorEmail),
        KnownField::Session => span(Field::Session),
        KnownField::OriginHost => span(Field::OriginHost),
        KnownField::OriginUserAgent => span(Field::OriginUserAgent),
        KnownField::Target => target(TargetText::Whole),
        KnownField::TargetType => target(TargetText::Type),
        KnownField::TargetId => target(TargetText::Id),
        KnownField::TargetName => target(TargetText::Name),
        KnownField::Raw => Leaf::Raw(glob),
        KnownField::RawMediaType => Leaf::RawMediaType(glob),
        // The kinds of these were told apart before.
        KnownField::Outcome
        | KnownField::Severity
        | KnownField::Class
        | KnownField::Time
        | KnownField::Received
        | KnownField::OriginIp
        | KnownField::TenantSeq
        | KnownField::Log
        | KnownField::Seq
        | KnownField::ProducerEpoch
        | KnownField::ProducerSeq
        | KnownField::Weight => return Ok(Node::nothing()),
    }))
}

fn details(steps: &[Step], test: &Test) -> Result<Leaf, FilterError> {
    let path = Path::new(steps);
    let test = match test {
        Test::Exists | Test::Between { low: None, high: None } => ValueTest::Exists,
        Test::Is(pattern) => {
            let literal = pattern.as_literal();
            let number = literal.filter(|text| Decimal::parse(text.as_bytes()).is_some()).map(Into::into);
            ValueTest::Is { glob: exact(pattern)?, number, network: literal.and_then(Network::parse) }
        }
        Test::Between { low, high } => order(low.as_ref(), high.as_ref())?,
    };
    Ok(Leaf::Details(path, test))
}

/// Two numbers compare as numbers, two texts as text; one of each has no meaning.
fn order(low: Option<&Limit>, high: Option<&Limit>) -> Result<ValueTest, FilterError> {
    let number = |limit: &Limit| Decimal::parse(limit.value.as_bytes()).is_some();
    let order = Order { low: low.cloned(), high: high.cloned() };
    match (low.map(number), high.map(number)) {
        (Some(true) | None, Some(true) | None) => {
            if let (Some(low), Some(high)) = (low, high)
                && let (Some(low), Some(high)) = (Decimal::parse(low.value.as_bytes()), Decimal::parse(high.value.as_bytes()))
                && low.compare(&high).is_gt()
            {
                return Err(upside_down());
            }
            Ok(ValueTest::Numbers(order))
        }
        (Some(false) | None, Some(false) | None) => {
            upright(low.map_or("", |low| &low.value), high.map_or("\u{10ffff}", |high| &high.value))?;
            Ok(ValueTest::Texts(order))
        }
        _ => Err(FilterError::value("one end of the range is a number and the other is not")
            .hint("make both numbers, or both text such as dates")),
    }
}

fn literal(field: KnownField, pattern: &Pattern) -> Result<&str, FilterError> {
    pattern.as_literal().ok_or_else(|| {
        let example = match field.info().kind {
            FieldKind::Word(words) | FieldKind::Rank(words) => format!("write one or more of {}", list(words)),
            FieldKind::Time => "write time:2021-01, time:>=2021-01-31 or a range [A TO B]".to_owned(),
            _ => format!("write {0}:5, {0}:>=100 or {0}:[1 TO 5]", field.info().name),
        };
        FilterError::value(format!("{} takes no wildcards", field.info().name)).hint(example)
    })
}

/// A pattern over lower-case hexadecimal digits; without wildcards it must have all `digits` of them.
fn hexadecimal(field: KnownField, pattern: &Pattern, digits: usize) -> Result<Pattern, FilterError> {
    let mut lower = Pattern::default();
    for piece in pattern.pieces() {
        lower.push(match piece {
            Piece::Literal(text) => Piece::Literal(text.to_ascii_lowercase()),
            other => other.clone(),
        });
    }
    let hex = lower
        .pieces()
        .iter()
        .all(|piece| !matches!(piece, Piece::Literal(text) if !text.bytes().all(|byte| byte.is_ascii_hexdigit())));
    if !hex || lower.as_literal().is_some_and(|text| text.len() != digits) {
        let message = format!("{} has {digits} hexadecimal digits", field.info().name);
        return Err(FilterError::value(message).hint(format!("to look for its beginning write {}:4bf92f*", field.info().name)));
    }
    Ok(lower)
}

fn exact(pattern: &Pattern) -> Result<Glob, FilterError> {
    few_wildcards(pattern)?;
    Ok(Glob::exact(pattern))
}

fn within(pattern: &Pattern) -> Result<Glob, FilterError> {
    few_wildcards(pattern)?;
    if pattern.pieces().is_empty() {
        return Err(FilterError::value("the text to look for is empty").hint("leave it out, or write * for every event"));
    }
    Ok(Glob::within(pattern))
}

/// Each wildcard multiplies the places where the rest may begin.
fn few_wildcards(pattern: &Pattern) -> Result<(), FilterError> {
    let count = pattern.pieces().iter().filter(|piece| !matches!(piece, Piece::Literal(_))).count();
    if count > WILDCARDS_MAX {
        let message = format!("one value has {count} wildcards, the limit is {WILDCARDS_MAX}");
        return Err(FilterError::new(FilterErrorKind::Limit, message).hint("several ? in a row are mostly meant as one *"));
    }
    Ok(())
}

fn unordered(field: KnownField) -> FilterError {
    FilterError::value(format!("{} has no order, so it cannot be compared or lie in a range", field.info().name))
}

fn upright<T: PartialOrd>(low: T, high: T) -> Result<(), FilterError> {
    if low > high { Err(upside_down()) } else { Ok(()) }
}

fn upside_down() -> FilterError {
    FilterError::value("the range begins behind its end").hint("write the lower end first: [1 TO 5]")
}
