//! Notes are what signed-note says they are: by its own examples, by the RFC 8032 vectors, by another crate in both directions;
//! and nothing a stranger sends is believed or makes us panic.

use std::io::Read as _;

use proptest::prelude::*;

use super::*;
use crate::corpus;

const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SIGNED: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn note(text: &str, keys: &[&SigningKey]) -> Note {
    let mut note = Note::sign(text, keys[0]).unwrap();
    keys[1..].iter().for_each(|key| note.add_signature(key).unwrap());
    note
}

fn parse(text: &str) -> Result<Note, NoteError> {
    Note::parse(text.as_bytes())
}

#[test]
fn the_specifications_example_verifies() {
    let key = VerifierKey::parse(VKEY).unwrap();
    assert_eq!(key.name(), "example.com/foo");
    assert_eq!(key.to_string(), VKEY);
    let note = parse(SIGNED).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    assert_eq!(note.to_string(), SIGNED);
}

#[test]
fn every_complete_note_in_the_specifications_parses() {
    let Some(folder) = corpus::folder("c2sp-specs") else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // Every other piece between fences is a code block. Those with an elision are not whole.
        for block in text.split("```\n").skip(1).step_by(2) {
            if block.contains("\n\u{2014} ") && !block.contains("[...]") {
                let note = parse(block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
                assert_eq!(note.to_string(), block);
                count += 1;
            }
        }
    }
    assert_eq!(count, 4);
}

#[test]
fn one_secret_signs_under_many_names_and_each_signature_is_its_names_own() {
    let store = key("example.com/log0", 1);
    let other = store.with_name("example.com/log1").unwrap();
    assert_eq!(store.verifier().public_key(), other.verifier().public_key());
    assert_ne!(store.id(), other.id());

    let note = parse(&other.sign("text\n").unwrap()).unwrap();
    assert!(note.verify(&[other.verifier().clone()]).is_ok());
    assert_eq!(note.verify(&[store.verifier().clone()]), Err(SignatureError::Unknown));
    assert_eq!(store.verifier().with_name("example.com/log1").as_ref(), Ok(other.verifier()));
}

#[test]
fn a_signing_key_survives_its_text_and_stays_out_of_debug() {
    let key = key("example.com/log", 7);
    let text = key.to_secret_text();
    let again = SigningKey::parse(&text).unwrap();
    assert_eq!(again.sign("x\n"), key.sign("x\n"));
    assert_eq!(again.verifier(), key.verifier());
    let secret = text.rsplit('+').next().unwrap();
    assert!(!format!("{key:?}").contains(secret));
    assert!(!format!("{key:?}").contains("07, 07") && !format!("{key:?}").contains("7, 7"));
}

#[test]
fn keys_with_anything_changed_are_refused() {
    let cases = [
        ("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Id),
        ("example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Algorithm),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==", KeyError::Format),
        ("example.com/foo+530d903a+", KeyError::Format),
        ("example.com/foo+530d903a", KeyError::Format),
        ("example.com/foo", KeyError::Format),
        ("", KeyError::Format),
        ("example.com foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
        // A point of small order: it would accept a signature of every message.
        ("example.com/foo+530d903a+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KeyError::PublicKey),
    ];
    for (text, error) in cases {
        assert_eq!(VerifierKey::parse(text), Err(error), "{text}");
    }
    let secret = key("example.com/log", 7).to_secret_text();
    assert_eq!(SigningKey::parse(&secret.replace("log", "lag")).unwrap_err(), KeyError::Id);
    assert_eq!(SigningKey::parse(&secret.replace("PRIVATE", "PUBLIC")).unwrap_err(), KeyError::Format);
    assert_eq!(SigningKey::parse(VKEY).unwrap_err(), KeyError::Format);
}

#[test]
fn names_that_cannot_stand_in_a_note_are_refused() {
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\u{3000}", "\u{85}", "a\nb", "a\u{1}b"] {
        assert!(!is_key_name(name), "{name:?}");
        assert_eq!(SigningKey::from_seed(name, &[1; 32]).unwrap_err(), KeyError::Name, "{name:?}");
    }
    for name in ["a", "example.com/log/1", "\u{e9}\u{4e16}", "a\u{2014}"] {
        assert!(is_key_name(name), "{name:?}");
    }
}

#[test]
fn unknown_signatures_are_ignored_and_a_false_one_by_a_known_key_spoils_the_note() {
    let (log, witness, stranger) = (key("log", 1), key("witness", 2), key("stranger", 3));
    let keys = [log.verifier().clone(), witness.verifier().clone()];
    let good = note("text\n", &[&stranger, &witness, &log]);
    assert_eq!(good.verify(&keys).unwrap(), [witness.verifier(), log.verifier()]);

    // The witness's signature is of another text: the log's good one does not help.
    let elsewhere = note("other\n", &[&witness]);
    let mut spoiled = note("text\n", &[&log]);
    spoiled.signatures.extend(elsewhere.signatures.clone());
    assert_eq!(spoiled.verify(&keys), Err(SignatureError::Invalid { name: "witness".to_owned() }));
    assert_eq!(spoiled.verify(&keys[..1]).unwrap(), [log.verifier()], "unknown keys are ignored");

    assert_eq!(note("text\n", &[&stranger]).verify(&keys), Err(SignatureError::Unknown));
    assert_eq!(good.verify(&[]), Err(SignatureError::Unknown));

    // Same name with another id, same id with another name: unknown, not false.
    let mut renamed = note("text\n", &[&log]);
    renamed.signatures[0].id = [0; 4];
    assert_eq!(renamed.verify(&keys), Err(SignatureError::Unknown));
    let mut renamed = note("text\n", &[&log]);
    renamed.signatures[0].name = "lag".to_owned();
    assert_eq!(renamed.verify(&keys), Err(SignatureError::Unknown));
}

#[test]
fn a_key_that_signed_twice_counts_once_and_each_time_is_checked() {
    let log = key("log", 1);
    let keys = [log.verifier().clone(), log.verifier().clone()];
    let mut twice = note("text\n", &[&log]);
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(twice.verify(&keys).unwrap().len(), 1);
    twice.signatures[1].bytes[0] ^= 1;
    assert!(matches!(twice.verify(&keys), Err(SignatureError::Invalid { .. })));

    let mut replaced = note("text\n", &[&log]);
    replaced.add_signature(&log).unwrap();
    assert_eq!(replaced.signatures().len(), 1);
}

#[test]
fn what_is_not_a_note_is_refused_for_its_reason() {
    let line = "\u{2014} log AAAAAAA=\n";
    assert!(parse(&format!("text\n\n{line}")).is_ok(), "5 bytes are the shortest signature");
    assert!(parse(&format!("\n\n{line}")).is_ok(), "a text may be one empty line");
    assert_eq!(parse(&format!("a\n\nb\n\n{line}")).unwrap().text(), "a\n\nb\n");
    let cases = [
        (String::new(), NoteError::Unsigned),
        ("text\n".to_owned(), NoteError::Unsigned),
        ("text\n\n".to_owned(), NoteError::Unsigned),
        (format!("text\n{line}"), NoteError::Unsigned),
        (format!("\n{line}"), NoteError::Unsigned),
        (format!("text\n\n{}", line.trim_end()), NoteError::Unsigned),
        (format!("text\n\n{line}\n"), NoteError::Unsigned),
        (format!("text\n\n{line}x\n"), NoteError::SignatureLine { number: 2 }),
        ("text\n\n- log AAAAAAA=\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        ("text\n\n\u{2014} log AAAAAA==\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        ("text\n\n\u{2014} log AAAAAAB=\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        ("text\n\n\u{2014} log AAAAAAA\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        ("text\n\n\u{2014} a+b AAAAAAA=\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        ("text\n\n\u{2014}  AAAAAAA=\n".to_owned(), NoteError::SignatureLine { number: 1 }),
        (format!("te\rxt\n\n{line}"), NoteError::ControlCharacter),
        (format!("te\0xt\n\n{line}"), NoteError::ControlCharacter),
        (format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1)), NoteError::TooManySignatures),
        (format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX)), NoteError::TooLarge),
    ];
    for (text, error) in cases {
        assert_eq!(parse(&text), Err(error), "{:?}", text.get(..60).unwrap_or(&text));
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(NoteError::Encoding));
    assert!(parse(&format!("text\n\n{}", line.repeat(SIGNATURES_MAX))).is_ok());
}

#[test]
fn only_what_will_parse_is_signed() {
    let log = key("log", 1);
    assert_eq!(log.sign("no newline"), Err(NoteError::TextEnd));
    assert_eq!(log.sign(""), Err(NoteError::TextEnd));
    assert_eq!(log.sign("a\tb\n"), Err(NoteError::ControlCharacter));
    assert_eq!(log.sign(&format!("{}\n", "x".repeat(NOTE_BYTES_MAX))), Err(NoteError::TooLarge));
    let mut full = note("text\n", &[&log]);
    for number in 1..SIGNATURES_MAX {
        full.add_signature(&log.with_name(&format!("log{number}")).unwrap()).unwrap();
    }
    let before = full.clone();
    assert_eq!(full.add_signature(&log.with_name("late").unwrap()), Err(NoteError::TooManySignatures));
    assert_eq!(full, before);
    assert_eq!(parse(&full.to_string()), Ok(full));
}

#[test]
fn ed25519_signs_and_verifies_as_rfc_8032_has_it() {
    let Some(folder) = corpus::folder("ed25519-vectors") else { return };
    let file = std::fs::File::open(folder.join("rfc8032-sign-input.txt.zst")).unwrap();
    let mut text = String::new();
    zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let fields: Vec<Vec<u8>> = line.split(':').take(4).map(from_hex).collect();
        let [secret, public, message, signed] = fields.as_slice() else { panic!("{line}") };
        let key = SigningKey::from_seed("vector", secret[..32].try_into().unwrap()).unwrap();
        assert_eq!(key.verifier().public_key().as_slice(), public);
        assert_eq!([key.sign_bytes(message).as_slice(), message].concat(), *signed);
        let verifier = VerifierKey::new("vector", public[..].try_into().unwrap()).unwrap();
        assert!(verifier.verifies(message, &signed[..64]));
        let mut altered = signed[..64].to_vec();
        altered[count % 64] ^= 1;
        assert!(!verifier.verifies(message, &altered));
        assert!(!verifier.verifies(&[message.as_slice(), b"!"].concat(), &signed[..64]));
        count += 1;
    }
    assert_eq!(count, 128);
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn another_implementation_verifies_our_notes_and_we_its() {
    use signed_note::{Signer, StandardSigner, StandardVerifier, VerifierList};

    let ours = key("example.com/log", 9);
    let signer = StandardSigner::new(&ours.to_secret_text()).unwrap();
    for text in ["text\n", "one\n\ntwo\n", "\u{e8} subito sera.\n", "\n"] {
        let made = ours.sign(text).unwrap();
        let theirs = signed_note::Note::from_bytes(made.as_bytes()).unwrap();
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&ours.verifier().to_string()).unwrap())]);
        assert_eq!(theirs.verify(&known).unwrap().0.len(), 1);

        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&signer as &dyn Signer]).unwrap();
        assert_eq!(String::from_utf8(theirs.to_bytes()).unwrap(), made, "Ed25519 is deterministic: the notes are equal");
        assert!(Note::parse(&theirs.to_bytes()).unwrap().verify(&[ours.verifier().clone()]).is_ok());
    }
}

fn texts() -> impl Strategy<Value = String> {
    "([ -~\u{e9}\u{2014}]{0,12}\n){1,5}"
}

proptest! {
    #[test]
    fn signed_texts_come_back_whole(text in texts(), seed in any::<[u8; 32]>()) {
        let key = SigningKey::from_seed("example.com/log", &seed).unwrap();
        let note = parse(&key.sign(&text).unwrap()).unwrap();
        prop_assert_eq!(note.text(), text);
        prop_assert!(note.verify(&[key.verifier().clone()]).is_ok());
        prop_assert_eq!(SigningKey::parse(&key.to_secret_text()).unwrap().sign("\n"), key.sign("\n"));
        prop_assert_eq!(&VerifierKey::parse(&key.verifier().to_string()).unwrap(), key.verifier());
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        let _ = Note::parse(&bytes);
        let _ = VerifierKey::parse(&text);
        let _ = SigningKey::parse(&format!("PRIVATE+KEY+{text}"));
        if let Ok(note) = parse(&format!("{text}\n\n\u{2014} {text}\n")) {
            prop_assert_eq!(note.to_string(), format!("{text}\n\n\u{2014} {text}\n"));
        }
    }

    #[test]
    fn a_note_with_any_byte_changed_is_refused_or_another_signers(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        what in 0_u8..3,
    ) {
        let key = VerifierKey::parse(VKEY).unwrap();
        let mut bytes = SIGNED.as_bytes().to_vec();
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes.clone());
            prop_assert_eq!(note.verify(&[key]).is_ok(), bytes == SIGNED.as_bytes());
        }
    }

    #[test]
    fn another_implementation_parses_what_we_parse(text in "[a\n]{0,6}\n?\n?(\u{2014} [a+ ]{0,2} (AAAAAAA=|AAAA|A)\n?){0,3}") {
        let ours = parse(&text).is_ok();
        prop_assert_eq!(ours, signed_note::Note::from_bytes(text.as_bytes()).is_ok(), "{:?}", text);
    }
}
