//! The first slice: emit, sync, reopen, read, prove.

use std::ops::ControlFlow;

use indelible::{Config, Draft, Idempotence, Outcome, Store, taxonomy};

fn config(dir: &std::path::Path) -> Config {
    Config::new(dir.join("store"))
}

#[test]
fn events_survive_close_and_reopen_and_can_be_proved() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u64 {
        let store = Store::open(config(dir.path())).unwrap();
        for n in 0..300u64 {
            let id = format!("r{round}-{n}");
            let draft = Draft::new(taxonomy::USER_LOGIN)
                .actor("alice")
                .target("repo", "42")
                .outcome(Outcome::Failure)
                .id(&id)
                .detail("n", n);
            store.emit(&draft).unwrap();
        }
        let receipt = store.append(&Draft::new("widget.polish").actor("bob").idempotency_key(&format!("k{round}"))).unwrap();
        assert_eq!(receipt.seq, Some(round * 301 + 300));
        assert_eq!(receipt.idempotence, Idempotence::New);
        assert_eq!(receipt.tenant_seq, receipt.seq);
        store.close().unwrap();
        let store = Store::open(config(dir.path())).unwrap();
        let again = store.append(&Draft::new("widget.polish").actor("bob").idempotency_key(&format!("k{round}"))).unwrap();
        assert_eq!((again.seq, again.leaf, again.idempotence), (receipt.seq, receipt.leaf, Idempotence::Duplicate));
        let reader = store.reader().unwrap();
        let mut seen = 0;
        let scan = reader
            .records(&mut |position| {
                seen += u64::from(position.log == 1);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(scan.complete, "{scan:?}");
        assert_eq!(seen, (round + 1) * 301);
        let checkpoint = store.checkpoint(1).unwrap();
        assert_eq!(checkpoint.size, seen);
        store.close().unwrap();
        let proof = reader.prove(1, receipt.seq.unwrap()).unwrap();
        let key = reader.identity().verifier_key(1).unwrap();
        proof.verify(&receipt.leaf.unwrap(), &[key]).unwrap();
    }
}

#[test]
fn many_waiting_writers_get_their_own_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let mut seqs: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    (0..50)
                        .map(|n: u64| {
                            store
                                .append(&Draft::new("widget.polish").detail("thread", thread).detail("n", n))
                                .unwrap()
                                .seq
                                .unwrap()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (0..800).collect::<Vec<_>>());
}

#[test]
fn an_intact_store_verifies_at_the_edges_of_groups() {
    for size in [0u64, 1, 255, 256, 257, 65_535, 65_536, 65_537] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(config(dir.path())).unwrap();
        for n in 0..size {
            store
                .emit(&Draft::new(taxonomy::USER_LOGIN).actor("alice").detail("n", n).detail("text", "ä \u{1b}[31m \"x\""))
                .unwrap();
        }
        store.close().unwrap();
        let report = indelible::verify::verify(dir.path().join("store"), Default::default()).unwrap();
        let codes: Vec<_> = report.findings.iter().map(|finding| finding.code.name()).collect();
        assert!(report.ok, "{report:#?}");
        assert_eq!(codes, ["unanchored"], "{report:#?}");
        assert_eq!(report.logs[1].size, size);
        assert_eq!(report.logs[1].signed, size);
    }
}
