//! What must be hidden is found, and nothing but that.

use proptest::prelude::*;

use super::*;

fn hits(detector: Detector, text: &str) -> Vec<Range<usize>> {
    let mut hits = Vec::new();
    detector.find(text.as_bytes(), &mut hits);
    for hit in &hits {
        assert!(!hit.is_empty() && text.is_char_boundary(hit.start) && text.is_char_boundary(hit.end), "{hit:?} in {text:?}");
    }
    assert!(hits.windows(2).all(|pair| pair[0].end <= pair[1].start), "{hits:?} in {text:?}");
    assert!(hits.is_empty() || detector.may_find(text.as_bytes()), "the quick look misses {text:?}");
    hits
}

/// `text` with every hit as `<>`.
fn hidden(detector: Detector, text: &str) -> String {
    let mut out = String::new();
    let mut from = 0;
    for hit in hits(detector, text) {
        out.push_str(&text[from..hit.start]);
        out.push_str("<>");
        from = hit.end;
    }
    out + &text[from..]
}

const ALPHANUMERIC: &str = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6";

/// Tokens of every kind. Put together here so that no scanner takes this file for a leak.
fn tokens() -> Vec<String> {
    let body = |length: usize| &ALPHANUMERIC[..length];
    let mut tokens = vec!["AKIAIOSFODNN7EXAMPLE".to_owned(), "ASIAIOSFODNN7EXAMPLE".to_owned()];
    for prefix in ["ghp", "gho", "ghu", "ghs", "ghr"] {
        tokens.push(format!("{prefix}_{}", body(36)));
    }
    tokens.push(format!("github_pat_{}_{}", body(22), body(40)));
    tokens.push(format!("glpat-{}", body(20)));
    for kind in ["a", "b", "e", "p", "r", "s"] {
        tokens.push(format!("xox{kind}-123456789012-{}", body(24)));
    }
    tokens.push(format!("xapp-1-{}", body(20)));
    tokens.push(format!("AIza{}", body(35)));
    tokens.push(format!("{}_live_{}", "sk", body(24)));
    tokens.push(format!("{}_live_{}", "rk", body(24)));
    tokens.push(format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", body(43)));
    tokens.push("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned());
    let (begin, end) = ("-----BEGIN", "-----END");
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
        tokens.push(format!("{begin} {label}-----\nMIIE{}\n{end} {label}-----", body(48)));
    }
    tokens
}

#[test]
fn every_kind_of_token_is_found_wherever_it_stands() {
    for token in tokens() {
        for (before, after) in
            [("", ""), ("key ", " end"), ("(", ")"), ("\"", "\""), ("é", "é"), ("a=", "&b"), ("x\\n", "\\n"), ("k%3D", "%26")]
        {
            assert_eq!(hidden(Detector::Secrets, &format!("{before}{token}{after}")), format!("{before}<>{after}"));
        }
        assert_eq!(hidden(Detector::Secrets, &format!("{token} {token}")), "<> <>");
    }
}

#[test]
fn what_only_resembles_a_token_stays() {
    for text in [
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLE7",
        "XAKIAIOSFODNN7EXAMPLE",
        "akiaiosfodnn7example",
        "AROAIOSFODNN7EXAMPLE:session",
        "AIDAIOSFODNN7EXAMPLE",
        "ghp_short",
        "xoxb-1",
        "AIzaSy",
        "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "550e8400-e29b-41d4-a716-446655440000",
        "arn:aws:iam::123456789012:user/alice",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdE1",
        "arn:aws:sts::123456789012:assumed-role/token/i-0123456789abcdef0",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "https://example.com:8443/a@b?x=1",
        "https://alice@example.com/",
        "s3://bucket/key:1@2",
        "2023-07-10T12:30:00Z",
        "system:serviceaccount:kube-system:token-cleaner",
        "the password policy; tokens and secrets; a bearer of news, authorization granted",
        "token: expired",
        "invalid secret: rotated yesterday",
        "Authorization: denied by policy",
        "authorization.k8s.io/decision",
        "PWD=/home/alice ; USER=root ; COMMAND=/bin/ls",
        "password=",
        "password: \"\"",
        "password=******** user=bob",
        "password=[redacted] user=bob",
        "\"password\":null",
        "--password --verbose",
        "{\\\"password\\\":\\\"[FILTERED]\\\"}",
        "passwordLastUsed=2023-07-10",
    ] {
        assert_eq!(hidden(Detector::Secrets, text), text);
    }
}

#[test]
fn values_are_hidden_and_their_names_kept() {
    for (text, expected) in [
        ("password=hunter2", "password=<>"),
        ("PASSWORD = hunter2 next", "PASSWORD = <> next"),
        ("db_password: hunter2, host: x", "db_password: <>, host: x"),
        ("user=bob&password=hunter2&x=1", "user=bob&password=<>&x=1"),
        ("user=bob&user%5Bpassword%5D=1", "user=bob&user%5Bpassword%5D=1"),
        ("user[password]=hunter2", "user[password]=<>"),
        ("q=password%3Dhunter2%26x", "q=password%3D<>%26x"),
        ("{\"password\": \"hunter 2\", \"a\": 1}", "{\"password\": \"<>\", \"a\": 1}"),
        ("{\"password\":\"a\\\"b\",\"c\":1}", "{\"password\":\"<>\",\"c\":1}"),
        ("{\\\"password\\\":\\\"hunter 2\\\",\\\"a\\\":1}", "{\\\"password\\\":\\\"<>\\\",\\\"a\\\":1}"),
        ("{'passwd': 'hunter2'}", "{'passwd': '<>'}"),
        (":password => \"hunter2\"", ":password => \"<>\""),
        ("passphrase:=hunter2", "passphrase:=<>"),
        ("password=\"unclosed value", "password=\"<> value"),
        ("Server=db;Uid=sa;Pwd=hunter2;", "Server=db;Uid=sa;Pwd=<>;"),
        ("mysql --password hunter2 -h db", "mysql --password <> -h db"),
        ("Connect-Db -AdminPassword 'hunter 2' -Force", "Connect-Db -AdminPassword '<>' -Force"),
        ("vault --token=s.1234567890", "vault --token=<>"),
        ("run --api-token abc123def --x", "run --api-token <> --x"),
        ("client_secret=abcdef", "client_secret=<>"),
        ("secretoken=abc123", "secretoken=<>"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = <>"),
        ("X-Api-Key: 0123456789abcdef", "X-Api-Key: <>"),
        ("GET /?access_token=abc123&x=1", "GET /?access_token=<>&x=1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer <>"),
        ("-H \"Authorization: Basic dXNlcjpwYXNz\" url", "-H \"Authorization: Basic <>\" url"),
        ("{\"Authorization\":\"Bearer abc def\"}", "{\"Authorization\":\"Bearer <>\"}"),
        ("authorization=0123456789abcdef x", "authorization=<> x"),
        ("Authorization: Digest username=\"a\", response=\"1\"\nHost: x", "Authorization: Digest <>\nHost: x"),
        ("sent bearer 0123456789abcdef.x and left", "sent bearer <> and left"),
        ("postgres://bob:hunter2@db:5432/x", "postgres://bob:<>@db:5432/x"),
        ("amqp://bob:p@ss:w@host", "amqp://bob:<>@host"),
        ("redis://:hunter2@host", "redis://:<>@host"),
        ("Пароль password=секрет конец", "Пароль password=<> конец"),
        ("line1\\npassword=hunter2\\nline3", "line1\\npassword=<>\\nline3"),
    ] {
        assert_eq!(hidden(Detector::Secrets, text), expected, "{text:?}");
    }
}

#[test]
fn names_that_declare_a_secret_are_known() {
    for name in [
        "password",
        "Password",
        "db_password",
        "DB-PASSWORD",
        "userPassword",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "clientSecret",
        "client_secret",
        "accessToken",
        "refresh-token",
        "sessionToken",
        "X-Api-Key",
        "apiKey",
        "secretAccessKey",
        "privateKey",
        "Authorization",
        "Proxy-Authorization",
        "idToken",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "",
        "user",
        "passwordLastUsed",
        "passwordResetRequired",
        "nextToken",
        "clientToken",
        "clientRequestToken",
        "secretId",
        "secretName",
        "tokenCount",
        "accessKeyId",
        "keyId",
        "authorization.k8s.io/decision",
        "author",
        "pwdLastSet",
        "monkey",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
    // JSON is looked at only when an anchor is in it, so every name must hold one.
    for name in assignments::SECRET_NAMES.iter().chain(&assignments::SECRET_NAMES_WHOLE) {
        assert!(Detector::Secrets.may_find(name.as_bytes()), "{name}");
    }
}

#[test]
fn cards_are_known_by_issuer_length_and_check_digit() {
    for card in [
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "3782 822463 10005",
    ] {
        for (before, after) in [
            ("", ""),
            ("card ", "."),
            ("card:", ","),
            ("\"", "\""),
            ("n=", "&x"),
            ("é", "é"),
            ("x\\n", "\\n"),
            ("pan ", " 12/27"),
            ("%20", "%20"),
        ] {
            assert_eq!(hidden(Detector::CardNumbers, &format!("{before}{card}{after}")), format!("{before}<>{after}"));
        }
    }
    assert_eq!(hidden(Detector::CardNumbers, "4111111111111111,5555555555554444"), "<>,<>");
    for text in [
        "4111111111111112",
        "41111111111111112",
        "1111111111111117",
        "9999999999999995",
        "x4111111111111111",
        "4111111111111111x",
        "0.4111111111111111",
        "4111111111111111.5",
        "+4111111111111111",
        "41111111111111114111111111111111",
        "12345678-4111-1111-1111-111111111111",
        "4111-1111-1111-1111-4111",
        "4111 1111-1111 1111",
        "550e8400-e29b-41d4-a716-446655440000",
        "1689000000000",
        "1689000000000000000",
        "2023-07-10 12:30:00.123456789",
        "arn:aws:s3:::bucket/4111111111111111",
        "123456789012",
        "192.168.100.200 10.20.30.40",
        "",
        "4",
    ] {
        assert_eq!(hidden(Detector::CardNumbers, text), text);
    }
    assert!(is_card_number(b"4111111111111111") && is_card_number(b"4111111111111111.0"));
    assert!(!is_card_number(b"-4111111111111111") && !is_card_number(b"4111111111111112") && !is_card_number(b"1e16"));
}

#[test]
fn addresses_are_known_by_their_domain() {
    for (text, expected) in [
        ("alice@example.com", "<>"),
        ("Alice <alice.b+tag@mail.example.co.uk>.", "Alice <<>>."),
        ("a@b.co,c@d.org", "<>,<>"),
        ("mailto:bob_1@xn--bcher-kva.xn--p1ai", "mailto:<>"),
        ("to=alice%40example.com&x", "to=<>&x"),
        ("é alice@example.com é", "é <> é"),
        ("x\\nalice@example.com\\n", "x\\n<>\\n"),
        ("o'neil@example.ie", "<>"),
        ("alice@example.com...", "<>..."),
        ("user@localhost and @mention and a @ b.com", "user@localhost and @mention and a @ b.com"),
        (
            "lodash@4.17.21 pkg@1.2.3.tgz icon@2x.png getty@tty1.service",
            "lodash@4.17.21 pkg@1.2.3.tgz icon@2x.png getty@tty1.service",
        ),
        (
            "cipher=chacha20-poly1305@openssh.com pfs=curve25519-sha256@libssh.org",
            "cipher=chacha20-poly1305@openssh.com pfs=curve25519-sha256@libssh.org",
        ),
        ("@@@@", "@@@@"),
        ("a@.com b@x..com c@x.c d@x.c0m", "a@.com b@x..com c@x.c d@x.c0m"),
    ] {
        assert_eq!(hidden(Detector::Emails, text), expected, "{text:?}");
    }
}

#[test]
fn hostile_text_costs_linear_time() {
    for unit in [
        "eyJ",
        "eyJa-",
        "eyJaaaaaaaa.",
        "token=",
        "token:\"",
        "secret=\\\"",
        "password='\"",
        "-----BEGIN RSA PRIVATE KEY-----",
        "://a:b",
        "bearer ",
        "authorization: digest ",
        "a@",
        "%40",
        "4111 ",
        "4111111111111111.0",
        "--token ",
        "password=\\\\\\\"",
        "41-11-",
        "xoxb-",
        "password",
    ] {
        let time = |count: usize| {
            let text = unit.repeat(count);
            let started = std::time::Instant::now();
            for detector in Detector::ALL {
                let mut hits = Vec::new();
                detector.find(text.as_bytes(), &mut hits);
            }
            started.elapsed()
        };
        let megabyte = time((1 << 20) / unit.len());
        assert!(megabyte.as_millis() < 2000, "{unit:?}: {megabyte:?} for a megabyte");
    }
}

proptest! {
    #[test]
    fn any_text_is_searched_without_panic_and_any_bytes_too(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for detector in Detector::ALL {
            hits(detector, &text);
            let mut found = Vec::new();
            detector.find(&bytes, &mut found);
            prop_assert!(found.iter().all(|hit| hit.end <= bytes.len()));
        }
    }

    #[test]
    fn pieces_of_the_grammar_in_any_order_do_no_harm(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "password", "token", "=", ":", " ", "\"", "\\", "'", "eyJ", ".", "://", "@", "%40", "4111", "1111", "-", "--", "bearer ",
            "Authorization", "Digest ", "-----BEGIN ", "PRIVATE KEY", "-----", "-----END ", "é", "\n", "%3D", "[redacted]", "abc123def456",
        ]), 0..24)
    ) {
        let text = pieces.concat();
        for detector in Detector::ALL {
            hits(detector, &text);
        }
    }

    #[test]
    fn the_quick_search_for_cards_agrees_with_trying_every_place(text in "[0-9 .a4-]{0,60}") {
        let mut plain = Vec::new();
        let mut from = 0;
        while from < text.len() {
            match cards::card_at(text.as_bytes(), from) {
                Some(end) if text.as_bytes()[from].is_ascii_digit() => {
                    plain.push(from..end);
                    from = end;
                }
                _ => from += 1,
            }
        }
        prop_assert_eq!(hits(Detector::CardNumbers, &text), plain);
    }
}
