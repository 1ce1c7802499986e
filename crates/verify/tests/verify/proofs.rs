//! Proofs of single records and of consistency, as files.

use std::fs;

use portcullis_verify::layout;
use portcullis_verify::proof::{Consistency, Inclusion, ProofFault};
use portcullis_verify::prove::{self, ProveFault};

use crate::fixture::{Log, Shape, splice};

#[test]
fn every_record_is_proven_and_no_other_is() {
    let log = Log::segmented();
    for sequence in 0..40 {
        let text = prove::inclusion(log.path(), &log.key, sequence).unwrap().text();
        let proof = Inclusion::parse(&text).unwrap();
        assert_eq!(proof.text(), text);
        assert_eq!(proof.check(&log.key, None).unwrap().size, 40);
        assert_eq!(proof.check(&log.key, Some(log.record(sequence).as_bytes())).unwrap().size, 40);
        let other = log.record((sequence + 1) % 40);
        assert!(matches!(proof.check(&log.key, Some(other.as_bytes())), Err(ProofFault::NotIncluded(_))));
        assert!(matches!(Inclusion { index: sequence ^ 1, ..proof.clone() }.check(&log.key, None), Err(ProofFault::NotIncluded(_))));
        assert!(matches!(Inclusion { record: None, ..proof.clone() }.check(&log.key, None), Err(ProofFault::NoRecord)));
        assert!(matches!(Inclusion { index: 40, ..proof.clone() }.check(&log.key, None), Err(ProofFault::Outside { .. })));
        assert!(matches!(proof.check(&Log::with(8, "a").key, None), Err(ProofFault::Checkpoint(_))));
    }
    assert!(matches!(prove::inclusion(log.path(), &log.key, 40), Err(ProveFault::NotCovered { sequence: 40, size: 40 })));
}

#[test]
fn a_proof_with_any_letter_changed_is_refused() {
    let log = Log::segmented();
    let text = prove::inclusion(log.path(), &log.key, 17).unwrap().text();
    for (at, letter) in text.char_indices().filter(|(_, letter)| letter.is_ascii()) {
        let changed = char::from(letter as u8 ^ 1);
        let text = format!("{}{changed}{}", &text[..at], &text[at + 1..]);
        let verdict = Inclusion::parse(&text).and_then(|proof| proof.check(&log.key, None));
        assert!(verdict.is_err(), "byte {at}: {text}");
    }
}

#[test]
fn every_checkpoint_is_proven_to_be_a_beginning_and_no_other_is() {
    let (mut log, mut other) = (Log::new(), Log::with(7, "b"));
    let shape = Shape { records: 7, per_segment: 5, per_checkpoint: 2 };
    let mut notes = Vec::new();
    for _ in 0..6 {
        log.write(shape);
        other.write(shape);
        notes.push(log.sign());
    }
    for (index, note) in notes.iter().enumerate() {
        let text = prove::consistency(log.path(), &log.key, note).unwrap().text();
        let proof = Consistency::parse(&text).unwrap();
        assert_eq!(proof.text(), text);
        let (old, new) = proof.check(&log.key, note).unwrap();
        assert_eq!((old.size, new.size), ((index as u64 + 1) * 7, 42));
        for (wrong, note) in notes.iter().enumerate().filter(|(wrong, _)| *wrong != index) {
            assert!(matches!(proof.check(&log.key, note), Err(ProofFault::OtherOld { .. })), "{wrong}");
        }
    }
    let rewritten = prove::consistency(log.path(), &log.key, &other.sign());
    assert!(matches!(rewritten, Err(ProveFault::Unprovable(ProofFault::NotConsistent { old: 42, new: 42 }))));
    let later = log.sign();
    fs::write(layout::checkpoint(log.path()), &notes[2]).unwrap();
    assert!(matches!(prove::consistency(log.path(), &log.key, &later), Err(ProveFault::Older { old: 42, new: 21 })));
}

#[test]
fn a_log_that_was_changed_proves_nothing_about_what_was_changed() {
    let log = Log::segmented();
    log.edit(1, |lines| lines[4] = lines[4].replace("ana@", "eva@"));
    assert!(matches!(prove::inclusion(log.path(), &log.key, 14), Err(ProveFault::Unprovable(ProofFault::NotIncluded(14)))));
    assert!(prove::inclusion(log.path(), &log.key, 15).is_ok());
    splice(&layout::tiles(log.path(), 0), 30 * 32..31 * 32, &[0; 32]);
    assert!(matches!(prove::inclusion(log.path(), &log.key, 31), Err(ProveFault::Unprovable(_))));
    fs::remove_file(layout::tiles(log.path(), 0)).unwrap();
    assert!(matches!(prove::inclusion(log.path(), &log.key, 15), Err(ProveFault::Tiles(_))));
}

#[test]
fn what_is_no_proof_is_refused() {
    let log = Log::segmented();
    let text = prove::inclusion(log.path(), &log.key, 3).unwrap().text();
    for bad in [
        String::new(),
        text.replace("tlog-proof@v1", "tlog-proof@v2"),
        text.replace("index 3", "index 03"),
        text.replace("index 3", "index -3"),
        text.replace("index 3\n", ""),
        text.replace("extra ", "extra !"),
        text.replace("\n\n", "\n"),
        text.replacen("\n\n", &format!("\n{}\n", "AAAA\n".repeat(70)), 1),
    ] {
        assert!(Inclusion::parse(&bad).is_err(), "{bad}");
    }
    for bad in ["", "old 3\n", "old 03\n\nx", "old x\n\nx", "new 3\n\nx"] {
        assert!(Consistency::parse(bad).is_err(), "{bad}");
    }
}
