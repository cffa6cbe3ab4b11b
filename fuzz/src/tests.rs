//! The targets hold on their examples, on damaged ones, and on noise. Seeded: a failure repeats.

use super::TARGETS;

const DAMAGED_EACH: usize = 400;

#[test]
fn every_example_is_accepted_by_its_decoder() {
    // An example that no longer reads would leave the fuzzer outside the door.
    let accepted = |name: &str, bytes: &[u8]| match name {
        "json" => indelible_format::json::canonicalize(bytes, &Default::default(), &mut Vec::new()).is_ok(),
        "record" => indelible_format::Record::parse(bytes).is_some(),
        "head" => indelible_format::Head::parse(bytes).is_some(),
        "frame" => indelible_format::frame::Frame::parse(bytes).is_ok(),
        "file_header" => indelible_format::frame::FileHeader::parse(bytes).is_some(),
        "note" => indelible_format::note::Note::parse(bytes).is_ok(),
        "checkpoint" => indelible_format::checkpoint::SignedCheckpoint::parse(bytes).is_ok(),
        "tlog_proof" => indelible_format::tlog_proof::TlogProof::parse(bytes).is_ok(),
        "segment" => indelible_segment::Segment::open(bytes.to_vec()).is_ok(),
        _ => true,
    };
    for (name, _, examples) in TARGETS {
        let examples = examples();
        assert!(!examples.is_empty(), "{name} has no example");
        for (nth, example) in examples.iter().enumerate() {
            assert!(accepted(name, example), "{name}: example {nth} is refused");
        }
    }
}

#[test]
fn targets_hold_on_examples_damage_and_noise() {
    for (name, target, examples) in TARGETS {
        let mut random = fastrand::Rng::with_seed(name.len() as u64);
        target(b"");
        for example in examples() {
            target(&example);
            for _ in 0..DAMAGED_EACH {
                target(&damaged(&example, &mut random));
            }
        }
        for _ in 0..DAMAGED_EACH {
            let length = random.usize(..600);
            let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            target(&noise);
        }
    }
}

/// A few bytes changed, cut out, doubled or added.
fn damaged(example: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = example.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..9)).min(bytes.len());
        match random.u8(..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'{']).unwrap_or(&0),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}
