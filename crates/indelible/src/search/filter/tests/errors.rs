//! A query that means nothing is refused: where, why, and what to write instead.

use super::*;
use crate::search::filter::{DEPTH_MAX, FilterErrorKind, QUERY_BYTES_MAX, TERMS_MAX, WILDCARDS_MAX};

#[test]
fn errors_say_where_and_what_to_write_instead() {
    use FilterErrorKind::{Syntax, UnknownField, Unsupported, Value};
    for (query, kind, offset, hint) in [
        ("actor:alice sevrity:high", UnknownField, 12, "severity"),
        ("user:alice", UnknownField, 0, "actor.id"),
        ("requestParameters.x:1", UnknownField, 0, "details.requestParameters.x"),
        ("C:\\\\Windows", UnknownField, 0, "quotes"),
        ("https://example.org", UnknownField, 0, "quotes"),
        ("has:nothing", UnknownField, 4, "details.nothing"),
        ("has:(actor nothing)", UnknownField, 11, "details.nothing"),
        ("severity:>=hihg", Value, 9, "high"),
        ("severity:loud", Value, 9, "info, low, medium"),
        ("severity:h*", Value, 9, "info, low, medium"),
        ("outcome:failed", Value, 8, "success, failure"),
        ("outcome:faliure", Value, 8, "did you mean failure"),
        ("outcome:>failure", Value, 8, "outcome:(unknown OR"),
        ("class:important", Value, 6, "telemetry"),
        ("seq:abc", Value, 4, "seq:>=100"),
        ("seq:-1", Value, 4, "seq:>=100"),
        ("seq:1.5", Value, 4, "seq:>=100"),
        ("seq:1*", Value, 4, "seq:[1 TO 5]"),
        ("seq:[5 TO 1]", Value, 4, "lower end first"),
        ("log:main", Value, 4, "log:5"),
        ("severity:[high TO low]", Value, 9, "lower end first"),
        ("details.n:[5 TO 1]", Value, 10, "lower end first"),
        ("details.n:[1 TO abc]", Value, 10, "both numbers"),
        ("time:noon", Value, 5, "2021-01-31"),
        ("time:>=2021-01-31T12:00:00", Value, 5, "+02:00"),
        ("time:2021-*", Value, 5, "time:2021-01"),
        ("ip:10.0.0.0/40", Value, 3, "10.0.0.0/8"),
        ("ip:>10.0.0.0", Value, 3, "10.0.0.0/8"),
        ("actor:>a", Value, 6, "wildcards"),
        ("trace:xyz", Value, 6, "trace:4bf92f*"),
        ("trace:4bf9", Value, 6, "trace:4bf92f*"),
        ("raw:\"\"", Value, 4, "leave it out"),
        ("\"\"", Value, 0, "leave it out"),
        ("details.path:/a.*b/", Unsupported, 13, "wildcards"),
        ("/a.*b/", Unsupported, 0, "quote it"),
        ("actor:", Syntax, 0, "right behind the colon"),
        ("actor: alice", Syntax, 0, "right behind the colon"),
        ("seq: [1 TO 5]", Syntax, 0, "right behind the colon"),
        (":x", Syntax, 0, "quote"),
        ("actor:alice AND", Syntax, 15, "between two terms"),
        ("AND actor:alice", Syntax, 0, "quote"),
        ("actor:alice OR OR x", Syntax, 15, "quote"),
        ("NOT", Syntax, 3, "between two terms"),
        ("a -", Syntax, 2, "quote"),
        ("(-)", Syntax, 1, "quote"),
        ("a )", Syntax, 2, "quote"),
        ("a [", Syntax, 2, "seq:[1 TO 5]"),
        ("seq:[1 5]", Syntax, 4, "open is written *"),
        ("seq:[1 TO 5", Syntax, 4, "open is written *"),
        ("seq:[1 TO 5)", Syntax, 4, "open is written *"),
        ("seq:(]1 TO 5])", Syntax, 5, "open is written *"),
        ("seq:[1 TO 5*]", Syntax, 11, "quote"),
        ("seq:>", Syntax, 4, "without a space"),
        ("seq:>= 5", Syntax, 4, "without a space"),
        ("actor:\"alice", Syntax, 6, "close it"),
        ("actor:C:\\Windows", Syntax, 8, "\\\\"),
        ("details.a..b:1", Syntax, 0, "\"\""),
        ("details.a*:1", Syntax, 9, "details.*.b"),
        ("a && b", Syntax, 2, "AND"),
        ("a || b", Syntax, 2, "OR"),
    ] {
        let error = Filter::parse(query).expect_err(query);
        assert_eq!((error.kind, error.offset), (kind, Some(offset)), "{query}: {error:?}");
        let told = error.hint.clone().unwrap_or_default();
        assert!(told.contains(hint), "{query}: {error:?}");
        assert!(!error.message.is_empty() && !error.message.contains('\n'));
    }
}

#[test]
fn open_parentheses_are_told_where_they_open() {
    for (query, offset) in [("(actor:alice", 0), ("a (b OR (c)", 2), ("actor:(a", 6), ("()", 1)] {
        let error = Filter::parse(query).expect_err(query);
        assert_eq!((error.kind, error.offset), (FilterErrorKind::Syntax, Some(offset)), "{query}: {error:?}");
    }
}

#[test]
fn queries_are_bounded_in_length_terms_depth_and_wildcards() {
    let refused = |query: &str| Filter::parse(query).err().map(|error| error.kind);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(refused(&long(QUERY_BYTES_MAX)), None);
    assert_eq!(refused(&long(QUERY_BYTES_MAX + 1)), Some(FilterErrorKind::Limit));

    let terms = |count: usize| vec!["seq:1"; count].join(" OR ");
    assert_eq!(refused(&terms(TERMS_MAX)), None);
    assert_eq!(refused(&terms(TERMS_MAX + 1)), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("seq:({})", "1 ".repeat(TERMS_MAX + 1))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("has:({})", "ip ".repeat(TERMS_MAX + 1))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&"x ".repeat(TERMS_MAX + 1)), Some(FilterErrorKind::Limit));

    let parentheses = |depth: usize| format!("{}x{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(refused(&parentheses(DEPTH_MAX)), None);
    assert_eq!(refused(&parentheses(DEPTH_MAX + 1)), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&parentheses(4000)), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("{}x", "NOT ".repeat(DEPTH_MAX))), None);
    assert_eq!(refused(&format!("{}x", "NOT ".repeat(DEPTH_MAX + 1))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("{}x", "-".repeat(8000))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("{}x", "-(".repeat(4000))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&format!("{}seq:(1){}", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX))), Some(FilterErrorKind::Limit));

    assert_eq!(refused(&format!("actor:{}", "?".repeat(WILDCARDS_MAX))), None);
    assert_eq!(refused(&format!("actor:{}", "?".repeat(WILDCARDS_MAX + 1))), Some(FilterErrorKind::Limit));
    assert_eq!(refused(&"a*".repeat(WILDCARDS_MAX + 1)), Some(FilterErrorKind::Limit));
}

#[test]
fn a_built_filter_is_checked_when_it_is_compiled() {
    let refused = |filter: Filter| filter.compile(NOW).err().map(|error| (error.kind, error.offset));
    assert_eq!(refused(Filter::field("sevrity").is("high")), Some((FilterErrorKind::UnknownField, None)));
    assert_eq!(refused(Filter::field("seq").is("x")), Some((FilterErrorKind::Value, None)));
    assert_eq!(refused(Filter::text("")), Some((FilterErrorKind::Value, None)));
    assert_eq!(refused(Filter::field("seq").is_one_of(0..5000)), None);
    let mut deep = Filter::text("x");
    for _ in 0..1000 {
        deep = deep.or(Filter::text("y")).and(Filter::text("z"));
    }
    assert_eq!(refused(deep), Some((FilterErrorKind::Limit, None)));
}
