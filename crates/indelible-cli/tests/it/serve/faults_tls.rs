//! TLS: plain text on its port, certificates that are expired, for somebody else, or that nobody vouches for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Served;
use super::faults::Raw;
use super::served::soon;
use crate::Home;

/// A key and the certificate that it signed for itself, in PEM files.
struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

/// Valid for `days` from now, before now if it is negative, for `name`, as `openssl` makes it.
fn certificate(home: &Home, file: &str, name: &str, days: i32) -> Certificate {
    let config = format!(
        "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = {file}\n[v3]\nbasicConstraints = CA:FALSE\nsubjectAltName = {name}\n"
    );
    let config = home.write(&format!("{file}.cnf"), config);
    let [key, request, file] = ["key", "csr", "pem"].map(|kind| home.path(&format!("{file}.{kind}")));
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().expect("openssl (package openssl)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let [config, key, request, file] = [&config, &key, &request, &file].map(|path| path.to_str().unwrap());
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(&[&["req", "-config", config, "-keyout", key, "-out", request][..], &curve].concat());
    let days = days.to_string();
    let sign = ["x509", "-req", "-in", request, "-signkey", key, "-days", &days, "-extfile", config, "-extensions", "v3"];
    openssl(&[&sign[..], &["-out", file]].concat());
    Certificate { file: file.into(), key: key.into() }
}

fn serve(home: Home, certificate: &Certificate, more: &[&str]) -> Served {
    let [file, key] = [("certificate", &certificate.file), ("key", &certificate.key)]
        .map(|(name, path)| format!("tls.{name}={}", path.display()));
    Served::start_with(home, &[&[file.as_str(), &key], more].concat())
}

/// A client that trusts this certificate, and shows that one, if any.
fn client(trusted: &Certificate, own: Option<&Certificate>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&trusted.file).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_file(&own.file).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&own.key).unwrap()).unwrap()
        }
    })
}

/// Sends bytes over TLS and gives what comes back until the server ends it.
fn say(config: &Arc<ClientConfig>, address: &str, bytes: &[u8]) -> std::io::Result<String> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    stream.write_all(bytes)?;
    stream.conn.send_close_notify();
    stream.flush()?;
    let mut told = Vec::new();
    match stream.read_to_end(&mut told) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&told).into_owned()),
    }
}

/// A request over TLS, and the answer.
fn ask(served: &Served, config: &Arc<ClientConfig>, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let (token, length) = (&served.admin, body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let socket = TcpStream::connect(served.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut told = String::new();
    match stream.read_to_string(&mut told) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(told),
    }
}

const EVENT: &str = "{\"action\":\"good.one\"}";

#[track_caller]
fn behaves(served: &Served, config: &Arc<ClientConfig>) {
    let told = ask(served, config, "POST", "/api/v1/events", EVENT).unwrap();
    assert!(told.starts_with("HTTP/1.1 201") && told.contains("\"durable\":true"), "{told}");
}

/// How many handshakes did not come about.
fn handshakes(served: &Served, config: &Arc<ClientConfig>) -> u64 {
    let metrics = ask(served, config, "GET", "/metrics", "").unwrap();
    let line = "indelible_connections_broken_total{why=\"Handshake\"} ";
    metrics.lines().find_map(|known| known.strip_prefix(line)).map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn who_does_not_speak_tls_is_let_go_and_counted() {
    let home = Home::new();
    let own = certificate(&home, "own", "IP:127.0.0.1", 2);
    let trusting = client(&own, None);
    let served = serve(home, &own, &["limits.header_time=2s"]);
    behaves(&served, &trusting);
    let plain = format!("POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n{EVENT}", served.admin);
    let silent = Raw::connect(served.address());
    for bytes in [plain.as_bytes(), b"\x16\x03\x01\xff\xff\x01", b"\0\0\0\0\0\0\0\0", b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let told = Raw::saying(served.address(), bytes).rest();
        assert!(!told.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&told));
    }
    behaves(&served, &trusting);
    assert!(silent.rest().is_empty(), "who says nothing is let go, too");
    soon("each is counted", || handshakes(&served, &trusting) == 5);
    behaves(&served, &trusting);
    // And TLS where there is none.
    let served = Served::start();
    assert!(say(&trusting, served.address(), b"x").is_err());
    soon("that is counted, too", || served.metric("indelible_connections_broken_total{why=\"Malformed\"}") == 1);
    super::faults::behaves(&served);
}

#[test]
fn a_server_whose_certificate_is_not_good_is_not_believed_and_hears_of_it() {
    let home = Home::new();
    let good = certificate(&home, "good", "IP:127.0.0.1", 2);
    let elsewhere = certificate(&home, "elsewhere", "DNS:elsewhere.example", 2);
    let expired = certificate(&home, "expired", "IP:127.0.0.1", -1);
    for (shown, trusted, word) in
        [(&expired, &expired, "xpired"), (&elsewhere, &elsewhere, "not valid for"), (&good, &elsewhere, "UnknownIssuer")]
    {
        let served = serve(Home::new(), shown, &[]);
        let error = ask(&served, &client(trusted, None), "POST", "/api/v1/events", EVENT).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
        if word == "UnknownIssuer" {
            // Who trusts it goes on, and sees the other counted.
            let trusting = client(&good, None);
            behaves(&served, &trusting);
            soon("it is counted", || handshakes(&served, &trusting) == 1);
        }
    }
}

#[test]
fn a_certificate_that_cannot_serve_is_told_at_the_start() {
    let home = Home::new();
    let good = certificate(&home, "good", "IP:127.0.0.1", 2);
    let other = certificate(&home, "other", "IP:127.0.0.1", 2);
    let expired = certificate(&home, "expired", "IP:127.0.0.1", -1);
    let nonsense = home.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = home.write("empty.pem", "");
    let set = |name: &str, path: &std::path::Path| format!("tls.{name}={}", path.display());
    for (certificate, key, named) in [
        (&good.file, &other.key, "other.key cannot be used together"),
        (&nonsense, &good.key, "nonsense.pem"),
        (&empty, &good.key, "empty.pem cannot be used: there is no certificate in it"),
        (&good.file, &empty, "empty.pem cannot be used"),
        (&good.file, &home.path("missing.pem"), "missing.pem cannot be used"),
    ] {
        let (certificate, key) = (set("certificate", certificate), set("key", key));
        let started = ["serve", "--set", "listen.http=127.0.0.1:0", "--set", &certificate, "--set", &key];
        let refused = home.run(started).exits(1);
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
    }
    // An expired one serves those that do not look, and says so.
    let home_of_expired = Home::new();
    let log = home_of_expired.path("stderr");
    let (certificate, key) = (set("certificate", &expired.file), set("key", &expired.key));
    let mut child = home_of_expired
        .command(["serve", "--set", "listen.http=127.0.0.1:0", "--set", &certificate, "--set", &key])
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    soon("the warning", || {
        let told = std::fs::read_to_string(&log).unwrap();
        told.contains("warning: ") && told.contains("expired.pem will not be accepted by clients: it expired at 20")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // No failed start took the first token with it.
    let served = serve(home, &good, &[]);
    assert!(served.admin.starts_with("indl_"));
    let trusting = client(&good, None);
    let metrics = ask(&served, &trusting, "GET", "/metrics", "").unwrap();
    let expires = metrics.lines().find_map(|line| line.strip_prefix("indelible_certificate_expires_seconds ")).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 86_400..now + 3 * 86_400).contains(&expires.trim().parse().unwrap()), "{expires} {now}");
}

/// A sender of syslog that has to show a certificate: none, an expired one and a stranger's are refused, and counted.
#[test]
fn senders_without_a_good_certificate_are_refused() {
    let home = Home::new();
    let [own, sender, stranger] = ["own", "sender", "stranger"].map(|name| certificate(&home, name, "IP:127.0.0.1", 2));
    let expired = certificate(&home, "expired", "IP:127.0.0.1", -1);
    let both = [&sender.file, &expired.file].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    let both = home.write("senders.pem", both);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = [format!("listen.syslog_tls={port}"), format!("tls.syslog_clients={}", both.display())];
    let served = serve(home, &own, &[&more[0], &more[1]]);
    let message = b"<34>1 2026-01-31T12:00:00Z host app - ID47 - hello\n";
    let trusting = client(&own, None);
    for wrong in [None, Some(&stranger), Some(&expired)] {
        let refused = say(&client(&own, wrong), &port.to_string(), message);
        assert!(refused.is_err(), "{refused:?}");
    }
    say(&client(&own, Some(&sender)), &port.to_string(), message).unwrap();
    soon("refusals are counted", || handshakes(&served, &trusting) == 3);
    soon("one message is recorded", || {
        ask(&served, &trusting, "GET", "/api/v1/search?q=source:syslog&count=true", "").unwrap().contains("\"matched\":1")
    });
}
