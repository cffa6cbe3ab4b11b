//! A token is seen once, kept as a hash, and ends when it is revoked or expires; limits are buckets.

use super::*;

fn spec(scopes: &[&str], tenants: Option<&[&str]>) -> TokenSpec {
    TokenSpec {
        name: "ci".into(),
        scopes: Scopes::read(scopes).unwrap(),
        tenants: tenants.map(|tenants| tenants.iter().map(|tenant| (*tenant).to_owned()).collect()),
        ..TokenSpec::default()
    }
}

#[test]
fn a_token_is_seen_once_and_kept_as_a_hash() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    assert!(access.is_empty());
    assert!(access.create_tenant("acme", 1).unwrap() && !access.create_tenant("acme", 2).unwrap());
    let new = access.create_token(spec(&["emit", "read"], Some(&["acme"])), 5).unwrap();
    let text = new.secret.reveal().to_owned();
    assert_eq!(text.len(), 5 + 12 + 1 + 43);
    assert_eq!(format!("{new:?}").matches(&text[18..]).count(), 0, "no secret in Debug");

    // Read anew, as after a restart.
    let access = Access::open(dir.path()).unwrap();
    let file = std::fs::read_to_string(dir.path().join("access.json")).unwrap();
    assert!(!file.contains(&text[18..]), "no secret on disk");
    let token = access.check(&text, 10).expect("it fits");
    assert!(token.may(Scope::Emit) && !token.may(Scope::Admin) && token.is_for("acme") && !token.is_for("other"));
    for wrong in ["", "indl_", &text[..text.len() - 1], &text.replace("indl_", "indl-"), &format!("{text}x")] {
        assert!(access.check(wrong, 10).is_none(), "{wrong}");
    }
    let mut other = text.clone();
    other.replace_range(20..21, if &text[20..21] == "A" { "B" } else { "A" });
    assert!(access.check(&other, 10).is_none());
    access.revoke_token(&token.id, 11).unwrap().unwrap();
    assert!(access.check(&text, 12).is_none());
    assert!(access.revoke_token("nobody", 11).unwrap().is_none());
}

#[test]
fn a_token_ends_when_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let new = access.create_token(TokenSpec { expires: Some(100), ..spec(&["read"], None) }, 5).unwrap();
    assert!(access.check(new.secret.reveal(), 99).is_some());
    assert!(access.check(new.secret.reveal(), 100).is_none());
    let late = access.create_token(TokenSpec { expires: Some(5), ..spec(&["read"], None) }, 5);
    assert!(matches!(late, Err(AccessError::Refused(_))));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    for (scopes, tenants) in [(&["emit"][..], Some(&["nobody"][..])), (&[], None), (&["admin"], Some(&["acme"]))] {
        assert!(matches!(access.create_token(spec(scopes, tenants), 1), Err(AccessError::Refused(_))), "{scopes:?}");
    }
    for name in ["", "_system", "../etc", "a/b", "Acme", "а", "a..b", "-a", "a.", "a-", "a_", "a b", &"a".repeat(65)] {
        assert!(matches!(access.create_tenant(name, 1), Err(AccessError::Refused(_))), "{name}");
    }
    assert!(access.is_empty() && !dir.path().join("access.json").exists());
}

#[test]
fn a_damaged_file_is_an_error_and_never_an_open_door() {
    let dir = tempfile::tempdir().unwrap();
    for damaged in
        ["", "{}", "[]", r#"{"format":2,"tenants":[],"tokens":[]}"#, r#"{"format":1,"tenants":[],"tokens":[{"id":"x"}]}"#]
    {
        std::fs::write(dir.path().join("access.json"), damaged).unwrap();
        assert!(matches!(Access::open(dir.path()), Err(AccessError::Damaged(_))), "{damaged}");
    }
}

#[test]
fn limits_are_buckets_that_fill_again() {
    let rate = Rate { token_events: 10, tenant_events: 15, burst_seconds: 2, ..Rate::default() };
    let limits = Limits::new(rate);
    assert!(limits.events("a", None, "acme", 20).is_ok(), "a burst of two seconds");
    let late = limits.events("a", None, "acme", 1).unwrap_err();
    assert!(late.after.is_some_and(|after| after.as_millis() <= 100), "{late:?}");
    assert_eq!(limits.events("b", None, "other", 21).unwrap_err().after, None, "more than ever fits");
    assert_eq!(limits.events("b", None, "acme", 15).unwrap_err().what, "events of this tenant");
    assert!(limits.events("c", Some(1_000), "fourth", 25).is_ok(), "its own rate");
    assert!(limits.request("a").is_ok(), "no limit, no refusal");
}

#[test]
fn changes_made_at_once_are_written_together_and_each_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let access = &access;
            scope.spawn(move || {
                for nth in 0..20 {
                    let name = format!("t{thread}-{nth}");
                    assert!(access.create_tenant(&name, nth).unwrap());
                    assert_eq!(access.tenant(&name).map(|tenant| tenant.created), Some(nth), "it is seen when it was made");
                    assert!(Access::open(dir_of(access)).unwrap().has_tenant(&name), "and on disk");
                }
            });
        }
    });
    assert_eq!(Access::open(dir.path()).unwrap().tenants(), access.tenants());
    assert_eq!(access.tenants().len(), 320);
}

fn dir_of(access: &Access) -> &Path {
    access.path.parent().unwrap()
}

#[test]
fn a_change_that_cannot_be_written_was_not_made_and_the_next_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    assert!(access.create_tenant("acme", 1).unwrap());
    // Nothing can be written where a directory stands.
    let beside = dir.path().join("access.json.new");
    std::fs::create_dir(&beside).unwrap();
    std::thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            let access = &access;
            scope.spawn(move || assert!(matches!(access.create_tenant(name, 2), Err(AccessError::Io(..)))));
        }
    });
    assert_eq!(access.tenants().len(), 1);
    std::fs::remove_dir(&beside).unwrap();
    assert!(access.create_tenant("two", 3).unwrap());
    assert_eq!(Access::open(dir.path()).unwrap().tenants(), access.tenants());
    assert_eq!(access.tenants().iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>(), ["acme", "two"]);
}
