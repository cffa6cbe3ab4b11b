//! Requests: the token goes where it was meant to, errors are the server's words, bodies are read as they come.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use indelible_client::{Connection, ErrorKind, Token};

use crate::scripted::{Reply, Scripted, problem};

const SECRET: &str = "indl_abcdefabcdef_verysecretindeed";

/// Percent-escapes taken back; a plus is a space, as servers read it.
fn unescaped(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_is_what_was_asked_for() {
    let server = Scripted::start(|_, _| Reply::Answer(200, "x-more: yes\r\n", "{\"a\":[1]}".into()));
    let url = format!("{}/below/", server.url);
    let connection = Connection::new(&url, Some(Token::new(&format!(" {SECRET}\n")).unwrap())).unwrap();
    let answer = connection.get("/api/v1/search", &[("q", "actor.id:\"ä & b\" +x"), ("limit", "1")]).unwrap();
    assert_eq!((answer.status(), answer.header("x-more"), answer.header("x-less")), (200, Some("yes"), None));
    assert_eq!(answer.json().unwrap()["a"][0], 1);
    let answer = connection.get_with("/t", &[], &[("last-event-id", "7")]).unwrap();
    let mut body = String::new();
    answer.into_reader().read_to_string(&mut body).unwrap();
    assert_eq!(body, "{\"a\":[1]}");
    connection.post("/p", &[("n", "1")], &[("content-type", "text/plain")], b"body").unwrap();
    let requests = server.requests(3);
    let query = requests[0].line.strip_prefix("GET /below/api/v1/search?q=").unwrap();
    let (query, rest) = query.split_once('&').unwrap();
    assert_eq!((unescaped(query).as_str(), rest), ("actor.id:\"ä & b\" +x", "limit=1 HTTP/1.1"));
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(requests[1].header("last-event-id"), Some("7"));
    assert_eq!((requests[2].line.as_str(), requests[2].body.as_str()), ("POST /below/p?n=1 HTTP/1.1", "body"));
}

#[test]
fn an_error_is_told_in_the_servers_words() {
    let server = Scripted::start(|nth, _| match nth {
        0 => Reply::Answer(422, "", problem("query", &[("/q", "no such field")])),
        1 => Reply::Answer(429, "retry-after: 17\r\n", problem("rate", &[])),
        2 => Reply::Answer(404, "", "<html>gone</html>".into()),
        3 => Reply::Answer(301, "location: https://elsewhere.example\r\n", String::new()),
        4 => Reply::Answer(200, "", "[1,".into()),
        _ => Reply::Vanish,
    });
    let connection = Connection::new(&server.url, None).unwrap();
    let next = || connection.get("/x", &[]).and_then(indelible_client::Response::json).unwrap_err();
    let error = next();
    let told = error.problem().unwrap();
    assert_eq!((error.kind(), told.status, told.code.as_str()), (ErrorKind::Rejected, 422, "query"));
    assert_eq!((error.to_string().as_str(), error.hint(), told.pointer()), ("it is so", Some("do that"), Some("/q")));
    let error = next();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Busy, true));
    assert_eq!(error.problem().unwrap().retry_after, Some(Duration::from_secs(17)));
    let error = next();
    assert_eq!((error.kind(), error.problem().unwrap().code.as_str()), (ErrorKind::NotFound, ""));
    let error = next();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("elsewhere.example"), "{error}");
    assert_eq!(next().kind(), ErrorKind::Protocol);
    assert_eq!(next().kind(), ErrorKind::Unreachable);
    assert_eq!(server.requests(6).len(), 6, "no redirect was followed, nothing was asked twice");
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_another_machine_and_never_shown() {
    let token = || Some(Token::new(SECRET).unwrap());
    for elsewhere in ["http://audit.example.org", "http://192.0.2.1:8410", "http://[2001:db8::1]", "http://127.0.0.1.example.org"]
    {
        let error = Connection::new(elsewhere, token()).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.hint().unwrap().contains("insecure"), "{error}");
        assert!(Connection::new(elsewhere, None).is_ok());
        assert!(Connection::options().token(token().unwrap()).insecure(true).open(elsewhere).is_ok());
    }
    for here in ["http://localhost:1", "http://127.0.0.9", "http://[::1]:1/path"] {
        let connection = Connection::new(here, token()).unwrap();
        let shown = format!("{connection:?} {:?} {:?}", token(), Connection::options().token(token().unwrap()));
        assert!(!shown.contains("verysecret"), "{shown}");
    }
    for none in ["", "audit.example.org", "ftp://127.0.0.1", "http://", "http://u:p@127.0.0.1", "http://127.0.0.1/?token=x"] {
        assert_eq!(Connection::new(none, None).unwrap_err().kind(), ErrorKind::Config, "{none}");
    }
    for none in ["", " \n", "two words", "indl_ä"] {
        assert_eq!(Token::new(none).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn certificates_that_are_none_are_refused_before_anything_is_sent() {
    for none in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "text"] {
        let error = Connection::options().roots(none).open("https://127.0.0.1:1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{none}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let server = Scripted::start(|_, _| Reply::Hang);
    let connection = Connection::options().idle_timeout(Duration::from_millis(50)).open(&server.url).unwrap();
    assert_eq!(connection.get("/x", &[]).unwrap_err().kind(), ErrorKind::Unreachable);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(Connection::new(&gone, None).unwrap().get("/x", &[]).unwrap_err().kind(), ErrorKind::Unreachable);
}
