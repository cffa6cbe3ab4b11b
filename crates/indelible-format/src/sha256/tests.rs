//! Every way of hashing gives the digest of FIPS 180-4.

use proptest::prelude::*;
use pulp::{NullaryFnOnce, Scalar256b, Scalar512b, Simd};

use super::block::{INITIAL_STATE, ROUND_CONSTANTS};
use super::lanes::{HashJobs, LANES_MAX, Lanes};
use super::*;

/// The vector code on plain arrays: the same rounds, loaded word by word. It runs everywhere and checks what the shuffles do.
#[expect(clippy::big_endian_bytes, reason = "FIPS 180-4 §3.1: words are big-endian")]
fn load_by_word<S: Simd>(blocks: &[&Block; LANES_MAX]) -> [S::u32s; 16] {
    let mut words = Vec::new();
    for word in 0..16 {
        for block in blocks.iter().take(S::U32_LANES) {
            words.push(u32::from_be_bytes(block.as_chunks::<4>().0[word]));
        }
    }
    pulp::bytemuck::cast_slice(&words).try_into().unwrap()
}

impl Lanes for Scalar256b {
    fn load(self, blocks: &[&Block; LANES_MAX]) -> [Self::u32s; 16] {
        load_by_word::<Self>(blocks)
    }
}

impl Lanes for Scalar512b {
    fn load(self, blocks: &[&Block; LANES_MAX]) -> [Self::u32s; 16] {
        load_by_word::<Self>(blocks)
    }
}

/// Every backend that this machine can run.
fn backends() -> Vec<Backend> {
    #[cfg(target_arch = "x86_64")]
    return [Some(Backend::Single), V3::try_new().map(Backend::Avx2), V4::try_new().map(Backend::Avx512)]
        .into_iter()
        .flatten()
        .collect();
    #[cfg(not(target_arch = "x86_64"))]
    return vec![Backend::Single];
}

fn reference(message: &[u8]) -> Hash {
    Hash(Sha256::digest(message).into())
}

fn hash_all(backend: Backend, messages: &[Vec<u8>]) -> Vec<Hash> {
    let mut hasher = BatchHasher::on(backend);
    for (expected, message) in messages.iter().enumerate() {
        let (front, back) = message.split_at(message.len() / 3);
        assert_eq!(hasher.push(&[front, &[], back]), expected);
    }
    let mut hashes = Vec::new();
    hasher.finish(&mut hashes);
    hashes
}

/// The messages padded, one behind the other, and a job for each, longest first.
fn padded(messages: &[Vec<u8>]) -> (Vec<Block>, Vec<Job>) {
    let mut arena = Vec::new();
    let mut jobs = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let mut padded = vec![[0xaa; 64]; blocks_of(message.len())];
        pad_into(&mut padded, message.len(), &[message]);
        jobs.push(Job::new(arena.len(), padded.len(), index));
        arena.extend(padded);
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.blocks));
    (arena, jobs)
}

/// All messages a block of each in turn, whatever this machine would do.
fn hash_in_turns(messages: &[Vec<u8>]) -> Vec<Hash> {
    let (arena, jobs) = padded(messages);
    let mut hashes = vec![Hash::ZERO; messages.len()];
    jobs.chunks(IN_TURN).for_each(|jobs| hash_in_turn(&arena, jobs, &mut hashes));
    hashes
}

/// All messages in lanes, none hashed alone.
fn hash_in_lanes<S: Lanes>(simd: S, messages: &[Vec<u8>]) -> Vec<Hash> {
    let (arena, jobs) = padded(messages);
    let mut hashes = vec![Hash::ZERO; messages.len()];
    let work = HashJobs { simd, arena: &arena, jobs: &jobs, hashes: &mut hashes };
    simd.vectorize(InLanes(work));
    hashes
}

struct InLanes<'a, S>(HashJobs<'a, S>);

impl<S: Lanes> pulp::WithSimd for InLanes<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<Any: Simd>(self, _: Any) {
        self.0.call();
    }
}

fn hex(text: &str) -> Hash {
    let bytes: Vec<u8> = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    Hash::from_slice(&bytes).unwrap()
}

/// FIPS 180-4 examples and the NIST long message.
fn known_answers() -> Vec<(Vec<u8>, Hash)> {
    [
        (&b""[..], 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            1,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            1,
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
        ),
        (b"a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ]
    .map(|(text, times, digest)| (text.repeat(times), hex(digest)))
    .into()
}

#[test]
fn the_known_answers_come_out_of_every_backend() {
    let (messages, expected): (Vec<_>, Vec<_>) = known_answers().into_iter().unzip();
    assert_eq!(messages.iter().map(|message| sha256(message)).collect::<Vec<_>>(), expected);
    for backend in backends() {
        assert_eq!(hash_all(backend, &messages), expected, "{}", backend.name());
    }
    assert_eq!(hash_in_turns(&messages), expected);
    let (short, expected) = (&messages[..4], &expected[..4]);
    assert_eq!(hash_in_lanes(Scalar256b, short), expected);
    assert_eq!(hash_in_lanes(Scalar512b, short), expected);
}

#[test]
fn the_constants_are_those_of_the_standard() {
    assert_eq!(INITIAL_STATE[..2], [0x6a09_e667, 0xbb67_ae85]);
    assert_eq!(INITIAL_STATE[7], 0x5be0_cd19);
    assert_eq!(ROUND_CONSTANTS[..2], [0x428a_2f98, 0x7137_4491]);
    assert_eq!(ROUND_CONSTANTS[63], 0xc671_78f2);
}

#[test]
fn every_length_is_padded_right_in_every_lane() {
    // 257 messages shift the lengths against the lanes, so each length near a block's end stands in several lanes.
    let messages: Vec<Vec<u8>> = (0..257_usize).map(|length| (0..=u8::MAX).cycle().skip(length).take(length).collect()).collect();
    let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
    for backend in backends() {
        assert_eq!(hash_all(backend, &messages), expected, "{}", backend.name());
    }
    assert_eq!(hash_in_lanes(Scalar256b, &messages), expected);
    assert_eq!(hash_in_lanes(Scalar512b, &messages), expected);
}

/// Bytes that differ from message to message and within one.
fn counting(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + salt * 31 + length) % 251).unwrap()).collect()
}

#[test]
fn messages_hashed_in_turn_have_every_length_and_every_number_of_others_beside_them() {
    for length in 0..=321 {
        for count in 0..=2 * IN_TURN + 1 {
            let messages: Vec<Vec<u8>> = (0..count).map(|nth| counting((length + nth * 61) % 322, nth)).collect();
            let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
            assert_eq!(hash_in_turns(&messages), expected, "{count} from {length} bytes on");
        }
    }
}

/// Lengths at which padding begins another block, or nearly.
const EDGES: [usize; 8] = [0, 1, 55, 56, 63, 64, 119, 120];

#[test]
fn messages_hashed_in_turn_end_at_the_edges_of_blocks_in_every_order() {
    for order in 0..EDGES.len().pow(4) {
        let length = |nth: u32| EDGES[order / EDGES.len().pow(nth) % EDGES.len()];
        let messages: Vec<Vec<u8>> = (0..4).map(|nth| counting(length(nth), nth as usize)).collect();
        let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
        assert_eq!(hash_in_turns(&messages), expected, "{:?}", messages.iter().map(Vec::len).collect::<Vec<_>>());
    }
    // The longest beside the shortest, first, last and alone.
    let longest = counting(MESSAGE_BYTES_MAX, 9);
    for messages in [vec![longest.clone()], vec![longest.clone(), vec![], vec![]], vec![vec![], counting(64, 1), longest]] {
        let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
        assert_eq!(hash_in_turns(&messages), expected);
    }
}

/// What does not fill the lanes is hashed in turn, or in lanes that stay empty, by what is cheaper: the digests tell nothing of it.
#[test]
fn any_number_of_messages_around_full_lanes_and_full_turns_is_hashed() {
    for backend in backends() {
        for count in 0..=2 * LANES_MAX + IN_TURN + 1 {
            for length in [3, 55, 56, 64, 200] {
                let messages: Vec<Vec<u8>> = (0..count).map(|nth| counting(length + nth % 3, nth)).collect();
                let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
                assert_eq!(hash_all(backend, &messages), expected, "{}: {count} of {length} bytes", backend.name());
            }
        }
    }
}

#[test]
fn messages_around_the_arena_limit_and_far_over_it_are_hashed() {
    for backend in backends() {
        let lengths = [0, MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1, 5_000, 1 << 20, 3];
        let messages: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0x5a; length]).collect();
        let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
        assert_eq!(hash_all(backend, &messages), expected, "{}", backend.name());
    }
}

#[test]
fn a_batch_larger_than_the_arena_keeps_its_order() {
    // More than two arenas.
    let messages: Vec<Vec<u8>> = (0..3_000_usize).map(|index| index.to_le_bytes().repeat(index * 37 % 67)).collect();
    let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
    for backend in backends() {
        assert_eq!(hash_all(backend, &messages), expected, "{}", backend.name());
    }
}

#[test]
fn a_finished_hasher_begins_anew_and_appends() {
    for backend in backends() {
        let mut hasher = BatchHasher::on(backend);
        let mut hashes = vec![Hash::ZERO];
        hasher.finish(&mut hashes);
        assert_eq!(hashes, [Hash::ZERO], "an empty batch adds nothing");
        // The second message is shorter: old bytes of the arena must not show through its padding.
        for text in [&[0xff_u8; 200][..], b"abc", b""] {
            assert_eq!(hasher.push(&[text]), 0);
            hasher.finish(&mut hashes);
            assert_eq!(hashes.last(), Some(&reference(text)), "{}", backend.name());
        }
        assert_eq!(hashes.len(), 4);
    }
}

#[test]
fn a_batch_like_the_one_before_it_allocates_nothing() {
    for backend in backends() {
        let mut hasher = BatchHasher::on(backend);
        let mut out = Vec::new();
        let mut run = |hasher: &mut BatchHasher| {
            for length in 0..2_000 {
                hasher.push(&[&[7; 512][..length % 512]]);
            }
            out.clear();
            hasher.finish(&mut out);
            [
                hasher.arena.capacity(),
                hasher.queued.capacity(),
                hasher.sorted.capacity(),
                hasher.hashes.capacity(),
                out.capacity(),
            ]
        };
        let first = run(&mut hasher);
        assert_eq!(run(&mut hasher), first, "{}", backend.name());
    }
}

#[test]
fn leaves_and_nodes_are_those_of_rfc_6962() {
    assert_eq!(leaf(b""), hex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
    assert_eq!(leaf(b"entry"), reference(b"\0entry"));
    let (left, right) = (leaf(b"left"), leaf(b"right"));
    assert_eq!(node(&left, &right), reference(&[&[1], &left.0[..], &right.0[..]].concat()));
    assert_ne!(node(&left, &right), node(&right, &left));
}

#[test]
fn nodes_pairs_children_in_order_and_passes_over_an_odd_one() {
    let children: Vec<Hash> = (0..201_u32).map(|index| sha256(&index.to_le_bytes())).collect();
    for backend in backends() {
        for count in (0..70).chain([127, 128, 129, 200, 201]) {
            let mut parents = vec![Hash::ZERO];
            backend.nodes(&children[..count], &mut parents);
            let expected: Vec<Hash> =
                children[..count].as_chunks::<2>().0.iter().map(|[left, right]| node(left, right)).collect();
            assert_eq!(parents[0], Hash::ZERO);
            assert_eq!(parents[1..], expected, "{} of {count}", backend.name());
        }
    }
}

#[test]
fn the_backend_of_this_machine_has_a_known_name() {
    assert!(["sha-ni", "armv8-sha2", "avx512 x16", "avx2 x8", "scalar"].contains(&backend()));
    println!("backend: {}; runnable here: {:?}", backend(), backends().into_iter().map(Backend::name).collect::<Vec<_>>());
}

#[test]
fn sorting_keeps_every_job_once_longest_first() {
    let queued: Vec<Job> = (0..500).map(|index| Job::new(index * 3, 1 + index * 29 % MESSAGE_BLOCKS_MAX, index)).collect();
    let mut sorted = vec![Job::default(); 3];
    sort_longest_first(&queued, &mut sorted);
    assert!(
        sorted.is_sorted_by(|left, right| left.blocks > right.blocks || left.blocks == right.blocks && left.index < right.index)
    );
    sorted.sort_by_key(|job| job.index);
    let key = |job: &Job| (job.first, job.blocks, job.index);
    assert!(sorted.iter().map(key).eq(queued.iter().map(key)));
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 300..9_000),
    ]
}

proptest! {
    #[test]
    fn any_batch_gets_the_hashes_of_sha2(messages in prop::collection::vec(message(), 0..100)) {
        let expected: Vec<Hash> = messages.iter().map(|message| reference(message)).collect();
        for backend in backends() {
            prop_assert_eq!(&hash_all(backend, &messages), &expected, "{}", backend.name());
        }
        prop_assert_eq!(&hash_in_turns(&messages), &expected);
        let short: Vec<Vec<u8>> = messages.iter().filter(|message| message.len() < 300).cloned().collect();
        let expected: Vec<Hash> = short.iter().map(|message| reference(message)).collect();
        prop_assert_eq!(&hash_in_lanes(Scalar256b, &short), &expected);
        prop_assert_eq!(&hash_in_lanes(Scalar512b, &short), &expected);
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = V3::try_new() {
                prop_assert_eq!(&hash_in_lanes(simd, &short), &expected);
            }
            if let Some(simd) = V4::try_new() {
                prop_assert_eq!(&hash_in_lanes(simd, &short), &expected);
            }
        }
    }
}
