//! Queries and the events they find.

use indelible_format::{Class, Outcome, Severity, Tag};

use super::*;

/// A failed login by the API.
fn login() -> Model {
    Model {
        seq: 3,
        action: "user.login".to_owned(),
        outcome: Outcome::Failure,
        severity: Severity::Medium,
        class: Class::Critical,
        time: NOW - 3_600_000_000_000,
        id: some("login-1"),
        tenant: "acme".to_owned(),
        frameworks: vec!["sox".to_owned(), "pci".to_owned()],
        producer: Some(("web-1".to_owned(), 7, 42)),
        trace: Some(([0x4b; 16], [0xf0; 8])),
        actor_id: some("alice"),
        actor_name: some("Alice \"Al\" Smith"),
        actor_type: some("user"),
        actor_email: some("alice@example.org"),
        session: some("s-77"),
        ip: some("10.1.2.3"),
        user_agent: some("Mozilla/5.0 (X11)"),
        targets: vec![(some("repo"), some("42"), some("Kernel")), (some("org"), some("7"), None)],
        details: Some(object([
            ("attempt", number("3")),
            ("note", text("two\nlines")),
            ("reason", text("bad_password")),
            ("remember", Json::Bool(true)),
        ])),
        ..Model::default()
    }
}

/// A foreign record: the part that names people is apart.
fn cloud() -> Model {
    Model {
        seq: 4,
        action: "iam.PutUserPolicy".to_owned(),
        outcome: Outcome::Success,
        severity: Severity::High,
        source: "cloudtrail".to_owned(),
        time: 1_609_502_400_000_000_000, // 2021-01-01T12:00:00Z
        actor_id: some("AIDA1"),
        actor_type: some("IAMUser"),
        ip: some("2001:db8::7"),
        host: some("ip-10-0-0-1.internal"),
        targets: vec![(some("AWS::S3::Bucket"), some("arn:aws:s3:::logs"), None)],
        identity_details: Some(object([(
            "userIdentity",
            object([("userName", text("bob")), ("accountId", text("123456789012"))]),
        )])),
        details: Some(object([
            ("eventName", text("PutUserPolicy")),
            ("eventTime", text("2021-01-01T12:00:00Z")),
            (
                "requestParameters",
                object([
                    ("bucketName", text("foo-logs")),
                    ("cidrIp", text("0.0.0.0/0")),
                    ("ports", Json::List(vec![number("22"), number("443.0"), text("8080")])),
                    (
                        "rules",
                        Json::List(vec![
                            object([("from", number("1")), ("proto", text("tcp"))]),
                            object([("from", number("9007199254740993")), ("proto", text("udp"))]),
                        ]),
                    ),
                ]),
            ),
            ("responseElements", Json::Null),
        ])),
        ..Model::default()
    }
}

/// A Windows process, full of backslashes.
fn process() -> Model {
    Model {
        seq: 100,
        log: 2,
        weight: 10,
        action: "process.start".to_owned(),
        source: "windows".to_owned(),
        severity: Severity::Critical,
        class: Class::Telemetry,
        actor_name: some("CORP\\müller"),
        host: some("WS01"),
        details: Some(object([
            ("CommandLine", text("C:\\Windows\\System32\\cmd.exe /c whoami")),
            ("EventID", number("4688")),
            ("LogonType", text("3")),
            ("empty", Json::List(vec![])),
            ("winlog.event_data", object([("Image", text("C:\\Windows\\System32\\cmd.exe"))])),
        ])),
        ..Model::default()
    }
}

/// Nothing but what every event has.
fn bare() -> Model {
    Model { seq: 9, ..Model::default() }
}

/// A line that no adapter understood.
fn line() -> Model {
    Model {
        seq: 10,
        action: "record.opaque".to_owned(),
        source: "syslog".to_owned(),
        raw: Some(("text/plain".to_owned(), "<34>sshd[1]: Failed password for root from 203.0.113.9".to_owned())),
        ..Model::default()
    }
}

/// Letters of the events a query finds: L login, C cloud, P process, B bare, R raw line.
fn found(query: &str) -> String {
    let events = [('L', login()), ('C', cloud()), ('P', process()), ('B', bare()), ('R', line())];
    events.iter().filter(|(_, event)| event.matches(query)).map(|(letter, _)| *letter).collect()
}

#[test]
fn queries_find_what_they_say() {
    for (query, expected) in [
        // Everything and nothing.
        ("", "LCPBR"),
        ("*", "LCPBR"),
        ("  ", "LCPBR"),
        ("NOT *", ""),
        // Head.
        ("action:user.login", "L"),
        ("action:USER.login", ""),
        ("action:iam.*", "C"),
        ("action:*.login", "L"),
        ("action:user.logi?", "L"),
        ("action:user.login?", ""),
        ("action:(user.login OR record.*)", "LR"),
        ("outcome:failure", "L"),
        ("outcome:(failure OR success)", "LC"),
        ("outcome:FAILURE", "L"),
        ("severity:high", "C"),
        ("severity:>=high", "CP"),
        ("severity:>high", "P"),
        ("severity:<medium", "BR"),
        ("severity:[medium TO high]", "LC"),
        ("severity:{medium TO critical]", "CP"),
        ("severity:{high TO critical}", ""),
        ("severity:>fatal", ""),
        ("class:critical", "L"),
        ("class:telemetry", "P"),
        ("tenant:acme", "L"),
        ("tenant:(acme OR default)", "LCPBR"),
        ("source:cloudtrail", "C"),
        ("has:source", "CPR"),
        ("source:*", "CPR"),
        ("id:login-1", "L"),
        ("id:0190abcd-ef01-7aaa-bbbb-cccccccccc0d", "CPBR"),
        ("id:0190abcd-*", "CPBR"),
        ("framework:pci", "L"),
        ("frameworks:so?", "L"),
        ("has:framework", "L"),
        ("producer:web-1", "L"),
        ("producer.epoch:7 producer.seq:>=42", "L"),
        ("has:producer.seq", "L"),
        ("trace:4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b", "L"),
        ("trace:4B4B4B4B4B4B4B4B4B4B4B4B4B4B4B4B", "L"),
        ("trace:4b4b*", "L"),
        ("span:f0f0f0f0f0f0f0f0", "L"),
        ("has:trace", "L"),
        ("seq:3", "L"),
        ("seq:>=10", "PR"),
        ("seq:[3 TO 9]", "LCB"),
        ("seq:{3 TO 9}", "C"),
        ("seq:[3 TO 9}", "LC"),
        ("seq:[* TO 3]", "L"),
        ("seq:[10 TO *]", "PR"),
        ("seq:<=3", "L"),
        ("seq:<0", ""),
        ("seq:>18446744073709551615", ""),
        ("seq:(3 OR [9 TO 10])", "LBR"),
        ("seq:(>=3 AND <9)", "LC"),
        ("log:2", "P"),
        ("weight:>1", "P"),
        ("tenant_seq:0", "LCPBR"),
        // Times: a day is all of it.
        ("time:2021-01-01", "C"),
        ("time:2021-01-01T12:00:00Z", "C"),
        ("time:>=2021-01-02", "LPBR"),
        ("time:>2021-01-01", "LPBR"),
        ("time:<=2021-01-01", "C"),
        ("time:<2021-01-01", ""),
        ("time:[2021-01-01 TO 2021-01-31]", "LCPBR"),
        ("time:[2021-01-01 TO 2021-01-31}", "C"),
        ("time:2021-01", "LCPBR"),
        ("time:>=now-30m", "PBR"),
        ("time:>-2h", "LPBR"),
        ("time:>=\"2 hours ago\"", "LPBR"),
        ("received:today", "LCPBR"),
        // Who and from where.
        ("actor:alice", "L"),
        ("actor.id:alice", "L"),
        ("actor:Alice", ""),
        ("actor:ali", ""),
        ("actor.name:\"Alice \\\"Al\\\" Smith\"", "L"),
        ("actor.name:Alice*", "L"),
        ("actor.name:*Smith", "L"),
        ("actor.name:\"Alice \"*\" Smith\"", "L"),
        ("actor.name:CORP\\\\*", "P"),
        ("actor.name:*müller", "P"),
        ("actor.type:user", "L"),
        ("email:*@example.org", "L"),
        ("session:s-77", "L"),
        ("has:session", "L"),
        ("ip:10.1.2.3", "L"),
        ("ip:10.0.0.0/8", "L"),
        ("ip:10.2.0.0/16", ""),
        ("ip:10.*", "L"),
        ("ip:2001:db8::/32", "C"),
        ("ip:2001:DB8:0:0:0:0:0:7", "C"),
        ("ip:(10.0.0.0/8 OR 2001:db8::/32)", "LC"),
        ("has:ip", "LC"),
        ("host:WS01", "P"),
        ("user_agent:\"Mozilla/5.0 (X11)\"", "L"),
        // Targets: one and the same.
        ("target:repo:42", "L"),
        ("target:repo:7", ""),
        ("target:42", "L"),
        ("target:repo:*", "L"),
        ("target:*:7", "L"),
        ("target:AWS::S3::Bucket:arn:aws:s3:::logs", "C"),
        ("target:arn:aws:s3:::logs", "C"),
        ("target.type:repo target.id:7", "L"),
        ("target.name:Kernel", "L"),
        ("target.type:AWS::S3::*", "C"),
        ("has:target", "LC"),
        ("has:target.name", "L"),
        // Details, both parts of a foreign record.
        ("details.reason:bad_password", "L"),
        ("details.reason:bad*", "L"),
        ("details.note:\"two\nlines\"", "L"),
        ("details.note:*n*", "L"),
        ("details.note:two?lines", "L"),
        ("details.note:*nlines", ""),
        ("details.attempt:3", "L"),
        ("details.attempt:3.0", "L"),
        ("details.attempt:\"3\"", "L"),
        ("details.attempt:>2", "L"),
        ("details.attempt:>3", ""),
        ("details.attempt:>=3", "L"),
        ("details.attempt:<3", ""),
        ("details.attempt:<=3.0", "L"),
        ("details.attempt:{2 TO 4}", "L"),
        ("details.attempt:{3 TO 4]", ""),
        ("details.attempt:[1 TO 3}", ""),
        ("details.reason:>bad_password", ""),
        ("details.reason:>=bad_password", "L"),
        ("details.note:>\"two\n\"", "L"),
        ("details.note:<two~", "L"),
        ("details.attempt:[1 TO 3]", "L"),
        ("details.attempt:>-1", "L"),
        ("details.remember:true", "L"),
        ("details.remember:false", ""),
        ("details.responseElements:null", "C"),
        ("has:details.responseElements", "C"),
        ("details.userIdentity.userName:bob", "C"),
        ("details.userIdentity.accountId:>=123456789012", "C"),
        ("details.requestParameters.bucketName:foo*", "C"),
        ("details.requestParameters.ports:22", "C"),
        ("details.requestParameters.ports:443", "C"),
        ("details.requestParameters.ports:8080", "C"),
        ("details.requestParameters.ports:>8000", "C"),
        ("details.requestParameters.ports:>9000", ""),
        ("details.requestParameters.rules.proto:udp", "C"),
        ("details.requestParameters.rules.from:9007199254740993", "C"),
        ("details.requestParameters.rules.from:9007199254740992", ""),
        ("details.requestParameters.rules.from:>9007199254740992", "C"),
        ("details.*.rules.*:tcp", "C"),
        ("details.*.rules.proto:(tcp AND udp)", "C"),
        ("details.requestParameters.cidrIp:0.0.0.0/0", "C"),
        ("details.eventTime:>=2021-01-01", "C"),
        ("details.eventTime:[2020 TO 2021]", ""),
        ("details.eventTime:[2021-01-01 TO 2021-01-02]", "C"),
        ("details.EventID:4688", "P"),
        ("details.EventID:46*", "P"),
        ("details.LogonType:>=3", "P"),
        ("details.LogonType:3", "P"),
        ("details.CommandLine:\"C:\\\\Windows\\\\\"*", "P"),
        ("details.CommandLine:*\\\\cmd.exe*", "P"),
        ("details.winlog.event_data.Image:*cmd.exe", "P"),
        ("details.\"winlog.event_data\".Image:*cmd.exe", "P"),
        ("details.winlog.Image:*", ""),
        ("has:details.empty", "P"),
        ("details.empty:*", "P"),
        ("has:details", "LCP"),
        ("has:details.requestParameters.rules", "C"),
        ("details.requestParameters:foo-logs", ""),
        // Free text: any case, any text, never a key.
        ("ALICE", "L"),
        ("password", "LR"),
        ("\"failed password\"", "R"),
        ("Kernel", "L"),
        ("mozilla", "L"),
        ("s-77", "L"),
        ("putuser", "C"),
        ("BOB", "C"),
        ("4688", "P"),
        ("system32\\\\CMD", "P"),
        ("MÜLLER", "P"),
        ("whoami", "P"),
        ("eventName", ""),
        ("two*lines", "L"),
        ("\"two\nlines\"", "L"),
        ("nlines", ""),
        ("203.0.113.?", "R"),
        ("null", ""),
        ("or", "LPR"),
        ("raw:\"FAILED password\"", "R"),
        ("raw:failed*root", "R"),
        ("raw:root*failed", ""),
        ("has:raw", "R"),
        ("raw.media_type:text/*", "R"),
        ("/etc/passwd", ""),
        // Operators.
        ("actor:alice outcome:failure", "L"),
        ("actor:alice AND outcome:success", ""),
        ("actor:alice OR outcome:success", "LC"),
        ("actor:alice OR source:windows severity:critical", "LP"),
        ("(actor:alice OR source:windows) severity:critical", "P"),
        ("-actor:alice", "CPBR"),
        ("NOT actor:alice", "CPBR"),
        ("NOT has:actor", "PBR"),
        ("NOT (actor:alice OR has:raw)", "CPB"),
        ("-(actor:alice OR has:raw) -log:2", "CB"),
        ("NOT NOT actor:alice", "L"),
        ("NOT actor:alice source:windows", "P"),
        ("has:actor actor:(NOT alice)", "C"),
        ("has:actor actor:-alice", ""),
        ("has:(actor target) NOT outcome:failure", "C"),
        ("has:(session OR raw)", "LR"),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
}

#[test]
fn a_negated_term_is_true_of_events_without_the_field() {
    assert!(bare().matches("NOT details.a:b"));
    assert!(bare().matches("NOT ip:10.0.0.0/8"));
    assert!(bare().matches("NOT seq:>9"));
    // To ask for another value, ask for the field as well.
    assert!(!bare().matches("has:ip NOT ip:10.0.0.0/8"));
    assert!(cloud().matches("has:ip NOT ip:10.0.0.0/8"));
}

#[test]
fn what_was_erased_is_not_found() {
    let withheld = withhold(&login().encode(), Tag::IDENTITY);
    let matches = |query: &str| {
        let matcher = Filter::parse(query).unwrap().compile(NOW).unwrap();
        ask(&withheld, 0, |view| matcher.matches(view)).unwrap()
    };
    assert!(!matches("actor:alice") && !matches("alice") && !matches("has:ip") && !matches("has:session"));
    assert!(
        matches("NOT actor:alice") && matches("target:repo:42") && matches("details.attempt:3") && matches("action:user.login")
    );

    let withheld = withhold(&login().encode(), Tag::CONTENT);
    let matcher = Filter::parse("has:target OR has:details OR kernel").unwrap().compile(NOW).unwrap();
    assert_eq!(ask(&withheld, 0, |view| matcher.matches(view)), Some(false));
}

#[test]
fn targets_beyond_those_with_spans_are_found_too() {
    let target = |nth: usize| (some("repo"), Some(nth.to_string()), Some(format!("name-{nth}")));
    for count in [59, 60, 61, 200] {
        let event = Model { targets: (0..count).map(target).collect(), ..Model::default() };
        let last = count - 1;
        assert!(event.matches("target:repo:0"));
        assert!(event.matches(&format!("target:repo:{last}")), "{count}");
        assert!(event.matches(&format!("target.name:name-{last} target.id:{last} name-{last}")), "{count}");
        assert!(!event.matches(&format!("target:repo:{count} OR name-{count}")), "{count}");
    }
}

#[test]
fn a_long_target_is_put_together_all_the_same() {
    let long = "x".repeat(1000);
    let event = Model { targets: vec![(some("file"), Some(long.clone()), None)], ..Model::default() };
    assert!(event.matches(&format!("target:file:{long}")));
    assert!(event.matches("target:file:xxx*"));
    assert!(!event.matches("target:file:y*"));
}

#[test]
fn built_filters_are_the_parsed_ones() {
    let field = Filter::field;
    for (query, built) in [
        ("actor:alice", field("actor").is("alice")),
        ("action:iam.*", field("action").matches("iam.*")),
        ("source:*", field("source").exists()),
        ("has:source", field("source").matches("*")),
        ("severity:>=high", field("severity").at_least("high")),
        ("seq:<=9", field("seq").at_most(9)),
        ("seq:>9", field("seq").above(9)),
        ("seq:<9", field("seq").below(9)),
        ("seq:[1 TO 5]", field("seq").between(1, 5)),
        ("outcome:(failure OR denied)", field("outcome").is_one_of(["failure", "denied"])),
        ("\"bad password\"", Filter::text("bad password")),
        ("details.\"a.b\":\"*\"", field("details.\"a.b\"").is("*")),
        ("actor:a actor:b actor:c", field("actor").is("a").and(field("actor").is("b")).and(field("actor").is("c"))),
        ("actor:a (actor:b OR actor:c)", field("actor").is("a").and(field("actor").is("b").or(field("actor").is("c")))),
        ("-actor:a", !field("actor").is("a")),
        ("*", Filter::all()),
        ("NOT *", Filter::any_of([])),
        ("*", Filter::all_of([])),
        ("actor:a *", field("actor").is("a").and(Filter::all())),
    ] {
        assert_eq!(Filter::parse(query).unwrap(), built, "{query}");
    }
}
