//! Whom clients believe: the command line and the Rust client against a server whose certificate is of its operator's own
//! authority.

use std::path::{Path, PathBuf};
use std::process::Command;

use indelible::Draft;
use indelible_client::{Client, Config, Connection, ErrorKind, Token};

use super::Served;
use crate::{Ended, Home};

/// An authority of one's own, and a certificate that it signed for 127.0.0.1, as `openssl` makes them.
struct Authority {
    file: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn authority(home: &Home, name: &str) -> Authority {
    let config = format!(
        "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = {name}\n\
         [ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign\n[leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:127.0.0.1\n"
    );
    home.write(&format!("{name}.cnf"), config);
    let openssl = |line: &str| {
        let output = Command::new("openssl").current_dir(home.path("")).args(line.split(' ')).output();
        let output = output.expect("openssl (package openssl)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for part in ["ca", "leaf"] {
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -config {name}.cnf {curve} -keyout {name}-{part}.key -out {name}-{part}.csr"));
        let signer = if part == "ca" {
            format!("-signkey {name}-ca.key")
        } else {
            format!("-CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial")
        };
        let made = format!("-days 2 -extfile {name}.cnf -extensions {part} -out {name}-{part}.pem");
        openssl(&format!("x509 -req -in {name}-{part}.csr {signer} {made}"));
    }
    let [file, certificate, key] = ["ca.pem", "leaf.pem", "leaf.key"].map(|end| home.path(&format!("{name}-{end}")));
    Authority { file, certificate, key }
}

/// The server; its tests cannot ask it without TLS.
fn serve(home: Home, authority: &Authority) -> Served {
    let set = [("certificate", &authority.certificate), ("key", &authority.key)]
        .map(|(name, path)| format!("tls.{name}={}", path.display()));
    let served = Served::start_with(home, &[&set[0], &set[1]]);
    assert!(served.url.starts_with("https://"), "{}", served.url);
    served
}

/// Runs a verb against the server, believing what this file vouches for, or this machine.
fn run(served: &Served, authority: Option<&Path>, arguments: &[&str]) -> Ended {
    let mut command = served.home.command(["--url", &served.url]);
    command.env("INDELIBLE_TOKEN", &served.admin);
    if let Some(file) = authority {
        command.arg("--ca").arg(file);
    }
    Ended::of(command.args(arguments).output().unwrap())
}

const VERBS: &[&[&str]] =
    &[&["emit", "user.login", "--actor", "alice"], &["search", "action:user.login"], &["verify", "--events"]];

#[test]
fn verbs_believe_the_authority_that_they_are_given_and_nobody_else() {
    let home = Home::new();
    let [own, other] = ["own", "other"].map(|name| authority(&home, name));
    let served = serve(home, &own);
    for verb in VERBS {
        let done = run(&served, Some(&own.file), verb).ok();
        assert!(verb[0] != "search" || done.stdout.contains("alice"), "{}", done.stdout);
    }
    for (authority, verb) in VERBS.iter().flat_map(|verb| [(None, verb), (Some(&*other.file), verb)]) {
        let refused = run(&served, authority, verb).exits(1);
        assert!(refused.stderr.contains("no safe connection to https://127.0.0.1"), "{}", refused.stderr);
        assert!(refused.stderr.contains("hint:") && refused.stderr.contains("--ca FILE"), "{}", refused.stderr);
        assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    }
    // Nothing of what was refused is recorded.
    let found = run(&served, Some(&own.file), &["search", "action:user.login", "--count"]).ok();
    assert_eq!(found.stdout.trim(), "1");
    // What is no authority is told apart from one that is not believed.
    let none = run(&served, Some(&own.key), VERBS[1]).exits(2);
    assert!(none.stderr.contains("there is no certificate (PEM)"), "{}", none.stderr);
    let missing = run(&served, Some(&served.home.path("missing.pem")), VERBS[1]).exits(1);
    assert!(missing.stderr.contains("missing.pem"), "{}", missing.stderr);
    // Another name than the certificate's, and a port that speaks no TLS.
    let elsewhere = served.url.replace("127.0.0.1", "localhost");
    let mut command = served.home.command(["--url", &elsewhere, "search"]);
    let refused = Ended::of(command.env("INDELIBLE_TOKEN", &served.admin).arg("--ca").arg(&own.file).output().unwrap()).exits(1);
    assert!(refused.stderr.contains("hint: use a name or address that the server's certificate is for"), "{}", refused.stderr);
    let plain = Served::start();
    let mut command = plain.home.command(["--url", &plain.url.replace("http:", "https:"), "search"]);
    let refused = Ended::of(command.env("INDELIBLE_TOKEN", &plain.admin).arg("--ca").arg(&own.file).output().unwrap()).exits(1);
    assert!(refused.stderr.contains("hint: does the server speak TLS on this port?"), "{}", refused.stderr);
}

#[test]
fn the_client_believes_the_authority_that_it_is_given_and_nobody_else() {
    let home = Home::new();
    let [own, other] = ["own", "other"].map(|name| authority(&home, name));
    let served = serve(home, &own);
    let connect = |authority: Option<&Path>| {
        let mut options = Connection::options().token(Token::new(&served.admin).unwrap());
        if let Some(file) = authority {
            options = options.roots(std::fs::read(file).unwrap());
        }
        options.open(&served.url).unwrap()
    };
    let believing = connect(Some(&own.file));
    let client = Client::with(&believing, Config::default()).unwrap();
    let receipt = client.append(&Draft::new("a.b").id("over-tls")).unwrap();
    assert!(receipt.seq.is_some(), "{receipt:?}");
    client.close().unwrap();
    assert_eq!(believing.get("/api/v1/events/over-tls", &[]).unwrap().json().unwrap()["action"], "a.b");
    for authority in [None, Some(&*other.file)] {
        let error = connect(authority).get("/livez", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.hint().unwrap().contains("Options::roots"), "{error:?}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("UnknownIssuer"), "{error:?}");
    }
}
