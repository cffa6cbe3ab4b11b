//! Checkpoints of real logs parse, verify and agree with their trees; false ones do not.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::corpus;
use crate::merkle::{root_of, verify_inclusion};
use crate::sha256;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &[5; 32]).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint::new("example.com/log", size, root_of(&[sha256::leaf(b"one")]))
}

#[test]
fn a_checkpoint_survives_signing_and_opening() {
    let key = key("example.com/log");
    let made = checkpoint(20_852_163);
    let note = made.sign(&key).unwrap();
    assert_eq!(open(note.as_bytes(), key.verifier()), Ok(made.clone()));
    assert!(note.starts_with(&format!("example.com/log\n20852163\n{}\n\n\u{2014} ", STANDARD.encode(made.root.0))));
}

#[test]
fn a_key_of_another_name_does_not_speak_for_the_log() {
    let (log, other) = (key("example.com/log"), key("example.com/other"));
    let note = checkpoint(1).sign(&other).unwrap();
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    assert_eq!(open(note.as_bytes(), other.verifier()), Err(CheckpointError::Origin { found: "example.com/log".to_owned() }),);
    assert_eq!(open(note.as_bytes(), log.verifier()), Err(CheckpointError::Signature(SignatureError::Unknown)));
    assert_eq!(signed.verify(&[other.verifier().clone()]), Ok(&checkpoint(1)), "the caller may know better");
}

#[test]
fn nonsense_is_not_signed() {
    let key = key("example.com/log");
    let refused = |checkpoint: Checkpoint| matches!(checkpoint.sign(&key), Err(CheckpointError::Text(_)));
    assert!(refused(Checkpoint::new("", 1, Hash::ZERO)));
    assert!(refused(Checkpoint::new("a\nb", 1, Hash::ZERO)));
    assert!(refused(Checkpoint::new("a", 0, Hash::ZERO)));
    assert!(refused(Checkpoint { extensions: vec![String::new()], ..checkpoint(1) }));
    assert!(refused(Checkpoint { extensions: vec!["a\nb".to_owned()], ..checkpoint(1) }));
    assert!(Checkpoint::new("a", 0, empty_root()).sign(&key).is_ok());
    let extended = Checkpoint { extensions: vec!["a".to_owned(), "b c".to_owned()], ..checkpoint(1) };
    assert_eq!(open(extended.sign(&key).unwrap().as_bytes(), key.verifier()), Ok(extended));
}

#[test]
fn texts_that_are_no_checkpoint_are_refused() {
    let root = STANDARD.encode([7; 32]);
    assert!(Checkpoint::parse(&format!("o\n0\n{root}\n")).is_ok());
    assert!(Checkpoint::parse(&format!("o\n18446744073709551615\n{root}\n")).is_ok());
    for text in [
        String::new(),
        "\n".to_owned(),
        "o\n1\n".to_owned(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n1\n{}\n", &root[..40]),
        format!("o\n1\n{}\n", STANDARD.encode([7; 31])),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\n\next\n"),
        format!("o\n1\n{}\n", root.replace('=', "")),
    ] {
        assert!(matches!(Checkpoint::parse(&text), Err(CheckpointError::Text(_))), "{text:?}");
    }
}

/// What became of one sigstore bundle, as far as log, checkpoint and inclusion go.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Included, and the checkpoint is signed by an Ed25519 key of the trusted root.
    Signed,
    /// Included; the log's key is ECDSA or not given, so its signature is not for us to check.
    Included,
    Refused(&'static str),
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

/// The Ed25519 keys of the logs in a trusted root, under the log's host name.
fn ed25519_keys(trusted_root: &Value) -> Vec<VerifierKey> {
    let logs = trusted_root["tlogs"].as_array().unwrap();
    let keys = logs.iter().filter(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519").map(|log| {
        let name = log["baseUrl"].as_str().unwrap().trim_start_matches("https://");
        // SubjectPublicKeyInfo of Ed25519 is 12 fixed bytes, then the key.
        let key = VerifierKey::new(name, decoded(&log["publicKey"]["rawBytes"]).unwrap()[12..].try_into().unwrap()).unwrap();
        assert_eq!(key.id().as_slice(), &decoded(&log["logId"]["keyId"]).unwrap()[..4], "{name}");
        key
    });
    keys.collect()
}

fn judge(entry: &Value, keys: &[VerifierKey]) -> Verdict {
    let proof = &entry["inclusionProof"];
    let Some(envelope) = proof["checkpoint"]["envelope"].as_str() else { return Verdict::Refused("no checkpoint") };
    let Ok(signed) = SignedCheckpoint::parse(envelope.as_bytes()) else { return Verdict::Refused("no signed checkpoint") };
    assert_eq!(signed.note().to_string(), envelope);
    let (Some(body), Some(index)) = (decoded(&entry["canonicalizedBody"]), number(&proof["logIndex"])) else {
        return Verdict::Refused("no body or index");
    };
    let hashes = proof["hashes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hashes: Vec<Hash> = hashes.iter().map(|hash| Hash::from_slice(&decoded(hash).unwrap()).unwrap()).collect();
    let said = signed.unverified();
    let stated = Hash::from_slice(&decoded(&proof["rootHash"]).unwrap()).unwrap();
    if number(&proof["treeSize"]) != Some(said.size) || stated != said.root {
        return Verdict::Refused("the checkpoint is of another tree");
    }
    if verify_inclusion(&sha256::leaf(&body), index, said.size, &hashes, &said.root).is_err() {
        return Verdict::Refused("not included");
    }
    match signed.open(keys) {
        Ok(_) => Verdict::Signed,
        Err(CheckpointError::Signature(SignatureError::Unknown)) => Verdict::Included,
        Err(_) => Verdict::Refused("not signed by the log"),
    }
}

#[test]
fn sigstore_bundles_are_judged_as_far_as_log_and_checkpoint_go() {
    let Some(folder) = corpus::folder("sigstore-conformance") else { return };
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let (mut signed, mut included, mut refused) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let bundle = read(&case.join("bundle.sigstore.json"));
        let trusted = case.join("trusted_root.json");
        let keys = if trusted.is_file() { ed25519_keys(&read(&trusted)) } else { Vec::new() };
        let Some(entry) = bundle["verificationMaterial"]["tlogEntries"].get(0) else { continue };
        match judge(entry, &keys) {
            Verdict::Signed => signed += 1,
            Verdict::Included => included += 1,
            Verdict::Refused(why) => refused.push((name, why)),
        }
    }
    refused.sort();
    // The other cases that must fail do so for certificates, timestamps or artifacts: their log entries are in order.
    let expected: Vec<(String, &str)> = EXPECTED_REFUSALS.map(|(name, why)| (name.to_owned(), why)).into();
    assert_eq!(refused, expected);
    assert_eq!((signed, included), (12, 12));
}

const EXPECTED_REFUSALS: [(&str, &str); 6] = [
    ("bundle-unknown-version_fail", "no checkpoint"),
    ("checkpoint-wrong-roothash_fail", "the checkpoint is of another tree"),
    ("inclusion-proof-corrupted-hash_fail", "not included"),
    ("incorrect-public-key_fail", "not included"),
    ("intoto-missing-inclusion-proof_fail", "no checkpoint"),
    ("rekor2-checkpoint-missing-log-signature_fail", "no signed checkpoint"),
];

#[test]
fn the_specifications_checkpoints_parse() {
    let Some(folder) = corpus::folder("c2sp-specs") else { return };
    for name in ["tlog-checkpoint.md", "tlog-cosignature.md"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let block = text.split("```\n").nth(1).unwrap();
        let signed = SignedCheckpoint::parse(block.as_bytes()).unwrap();
        assert_eq!((signed.unverified().origin.as_str(), signed.unverified().size), ("example.com/behind-the-sofa", 20_852_163));
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_and_another_implementation_agrees(
        text in "[a\u{e9} ]{0,3}\n(0|[1-9][0-9]{0,21}|[0-9+-]{0,2})\n([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/=]{0,5})\n(x?\n){0,2}",
    ) {
        let ours = Checkpoint::parse(&text);
        if let Ok(checkpoint) = &ours {
            prop_assert_eq!(checkpoint.to_string(), text.clone());
        }
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", text);
    }

    #[test]
    fn any_bytes_are_no_checkpoint_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}(\n\\PC{0,20}){0,5}") {
        let _ = SignedCheckpoint::parse(&bytes);
        let _ = Checkpoint::parse(&text);
    }
}
