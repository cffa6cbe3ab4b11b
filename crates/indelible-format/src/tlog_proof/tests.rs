//! A proof file convinces a stranger who has the log's key, and nothing that was altered does.

use proptest::prelude::*;

use super::*;
use crate::merkle::{LeafHashes, inclusion_proof, root_of};
use crate::note::{Note, SignatureError, SigningKey};
use crate::sha256;

const SIZE: u64 = 300;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &[3; 32]).unwrap()
}

fn leaf(index: u64) -> Hash {
    sha256::leaf(format!("entry {index}").as_bytes())
}

fn proof(index: u64, extra: Option<&[u8]>) -> TlogProof {
    let leaves: Vec<Hash> = (0..SIZE).map(leaf).collect();
    TlogProof {
        extra: extra.map(<[u8]>::to_vec),
        index,
        hashes: inclusion_proof(index, SIZE, &mut LeafHashes(&leaves)).unwrap(),
        checkpoint: Checkpoint::new("example.com/log", SIZE, root_of(&leaves)).sign(&key("example.com/log")).unwrap(),
    }
}

fn parse(text: &str) -> Result<TlogProof, TlogProofError> {
    TlogProof::parse(text.as_bytes())
}

#[test]
fn a_proof_survives_its_file_and_convinces_with_the_logs_key() {
    let keys = [key("example.com/log").verifier().clone()];
    for index in [0, 7, 255, 256, 299] {
        for extra in [None, Some(b"{}".as_slice())] {
            let made = proof(index, extra);
            let file = made.to_string();
            let read = parse(&file).unwrap();
            assert_eq!(read, made);
            assert_eq!(read.to_string(), file);
            assert_eq!(read.verify(&leaf(index), &keys).unwrap().size, SIZE);
            assert!(matches!(read.verify(&leaf(index + 1), &keys), Err(TlogProofError::Inclusion(_))));
        }
    }
}

#[test]
fn the_file_has_the_lines_of_the_specification() {
    let text = proof(299, Some(b"extra")).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra ZXh0cmE=", "index 299"]);
    let blank = lines.iter().position(|line| line.is_empty()).unwrap();
    assert_eq!(lines[blank + 1..blank + 3], ["example.com/log", "300"]);
    assert!(lines[3..blank].iter().all(|line| line.len() == 44));
    assert!(!proof(0, Some(b"")).to_string().contains("extra"));

    // A log of one entry needs no hashes.
    let checkpoint = Checkpoint::new("log", 1, leaf(0)).sign(&key("log")).unwrap();
    let only = TlogProof { extra: None, index: 0, hashes: Vec::new(), checkpoint: checkpoint.clone() };
    assert_eq!(only.to_string(), format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{checkpoint}"));
    assert!(parse(&only.to_string()).unwrap().verify(&leaf(0), &[key("log").verifier().clone()]).is_ok());
}

#[test]
fn only_a_key_named_like_the_origin_counts_and_known_witnesses_must_have_signed_truly() {
    let (log, witness) = (key("example.com/log"), key("witness.example"));
    let mut made = proof(5, None);
    let unknown = made.verify(&leaf(5), &[witness.verifier().clone()]).unwrap_err();
    assert_eq!(unknown, TlogProofError::Checkpoint(CheckpointError::Signature(SignatureError::Unknown)));

    let mut note = Note::parse(made.checkpoint.as_bytes()).unwrap();
    note.add_signature(&witness).unwrap();
    made.checkpoint = note.to_string();
    assert!(made.verify(&leaf(5), &[log.verifier().clone(), witness.verifier().clone()]).is_ok());
    let foreign = made.verify(&leaf(5), &[witness.verifier().clone()]).unwrap_err();
    assert!(matches!(foreign, TlogProofError::Checkpoint(CheckpointError::Origin { .. })));
}

#[test]
fn files_that_are_no_proof_are_refused() {
    let good = proof(5, Some(b"x")).to_string();
    assert!(parse(&good).is_ok());
    let hash = good.lines().nth(3).unwrap().to_owned();
    for altered in [
        String::new(),
        good.replacen("@v1", "@v2", 1),
        good.replacen("c2sp.org", " c2sp.org", 1),
        good.replacen("extra eA==", "extra ", 1),
        good.replacen("extra eA==", "extra eA=", 1),
        good.replacen("extra eA==", "extra eB==", 1),
        good.replacen("extra eA==", "extra", 1),
        good.replacen("extra eA==", "extra eA==\nextra eA==", 1),
        good.replacen("index 5", "index 05", 1),
        good.replacen("index 5", "index +5", 1),
        good.replacen("index 5\n", "", 1),
        good.replacen("index 5", "index 5 ", 1),
        good.replacen("index 5", "index 18446744073709551616", 1),
        good.replacen(&hash, "AAAA", 1),
        good.replacen('\n', "\r\n", 1),
        good.replacen(&hash, &[hash.as_str(); 64].join("\n"), 1),
        good.split("\n\n").next().unwrap().to_owned(),
        good.replacen("\n300\n", "\n0300\n", 1),
    ] {
        assert!(parse(&altered).is_err(), "{altered}");
    }
    assert_eq!(TlogProof::parse(&vec![b'x'; PROOF_BYTES_MAX + 1]), Err(TlogProofError::TooLarge));
    assert!(matches!(TlogProof::parse(b"\xff"), Err(TlogProofError::Format(_))));
}

proptest! {
    #[test]
    fn a_file_with_any_byte_changed_is_refused_or_says_the_same(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        what in 0_u8..3,
    ) {
        let good = proof(77, Some(b"something")).to_string();
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        if let Ok(read) = TlogProof::parse(&bytes) {
            prop_assert_eq!(read.to_string().into_bytes(), bytes);
            let believed = read.verify(&leaf(77), &[key("example.com/log").verifier().clone()]).is_ok();
            // `extra` is not authenticated here: the caller computes the leaf from it.
            let original = parse(&good).unwrap();
            let same = TlogProof { extra: None, ..read } == TlogProof { extra: None, ..original };
            prop_assert_eq!(believed, same);
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(\\PC{0,9}\n){0,6}") {
        let _ = TlogProof::parse(&bytes);
        let _ = parse(&format!("c2sp.org/tlog-proof@v1\nindex 1\n{text}"));
        let _ = parse(&format!("c2sp.org/tlog-proof@v1\n{text}\n\n{text}"));
    }
}
