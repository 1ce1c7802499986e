//! An export is proven by its proof and the public key, and by nothing less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use kernel::event::{Body, Event, Verdict};
use kernel::policy::Reason;
use kernel::route::RouteId;
use portcullis_verify::export::{ExportFault as CheckFault, Proven, check};
use tempfile::tempdir;

use super::{ExportFault, Exported, Form, Request, Sink, export};
use crate::audit::fixtures::{clock, decision, runtime, settings};
use crate::audit::layout;
use crate::audit::note::PublicKey;
use crate::audit::pseudonym::KeyBook;
use crate::audit::search::Help;
use crate::audit::search::filter::Filter;
use crate::audit::{Durability, Recorder, Settings};

fn log(folder: &Path, records: u8) {
    let settings = Settings { segment_bytes: 9_000, ..settings(folder, Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    for number in 0..records {
        let mut facts = decision(number);
        facts.route = Some(RouteId::new(if number % 7 == 3 { "wiki" } else { "app" }));
        if number % 11 == 5 {
            facts.verdict = Verdict::Deny;
            facts.reason = Some(Reason::NoRule);
        }
        facts.user_agent = Some("=cmd|' /C calc'!A0\u{202e}\",;\r\n".to_owned());
        let time = kernel::time::Timestamp::from_seconds(1_790_000_000 + u64::from(number));
        runtime().block_on(recorder.keep(Event { time, body: Body::Decision(Box::new(facts)) })).unwrap();
    }
    recorder.shutdown();
}

fn routes(route: &str) -> Filter {
    Filter { routes: vec![route.to_owned()], ..Filter::default() }
}

fn seconds(from: u64, until: u64) -> Filter {
    Filter { from: Some((1_790_000_000 + from) * 1_000), until: Some((1_790_000_000 + until) * 1_000), ..Filter::default() }
}

/// Exports into files, as the command does.
fn write(folder: &Path, filter: &Filter, form: Form) -> (Exported, PathBuf, PathBuf) {
    let request = Request { filter: filter.clone(), form, help: Help::Index };
    let (mut records, mut names, mut proof) = (Vec::new(), Vec::new(), Vec::new());
    let mut sink = Sink { records: &mut records, names: &mut names, proof: &mut proof };
    let exported = export(folder, &request, &KeyBook::default(), &mut sink, "out", &mut |_, _| ()).unwrap();
    let (file, beside) = (folder.join("out"), folder.join("out.proof"));
    fs::write(&file, records).unwrap();
    fs::write(&beside, proof).unwrap();
    (exported, file, beside)
}

fn key(folder: &Path) -> PublicKey {
    PublicKey::parse(&fs::read_to_string(layout::public_key(folder)).unwrap()).unwrap()
}

fn proven(folder: &Path, filter: &Filter, form: Form) -> Proven {
    let (exported, file, proof) = write(folder, filter, form);
    let proven = check(&file, &proof, &key(folder)).unwrap();
    assert_eq!((proven.records, proven.first, proven.last + 1), (exported.records, exported.first, exported.end));
    proven
}

#[test]
fn every_selection_is_proven_in_either_form() {
    let folder = tempdir().unwrap();
    log(folder.path(), 90);
    assert!(layout::segments(folder.path()).unwrap().len() > 5);
    for form in [Form::Lines, Form::Csv] {
        assert!(proven(folder.path(), &Filter::default(), form).contiguous);
        assert!(!proven(folder.path(), &routes("wiki"), form).contiguous);
        let some = proven(folder.path(), &seconds(31, 57), form);
        assert_eq!((some.first, some.last, some.contiguous), (31, 56, true));
        for at in 0..90 {
            assert_eq!(proven(folder.path(), &seconds(at, at + 1), form).first, at);
        }
    }
}

#[test]
fn whatever_is_changed_in_an_export_is_found() {
    let folder = tempdir().unwrap();
    log(folder.path(), 60);
    let key = key(folder.path());
    for (filter, form) in [(routes("wiki"), Form::Lines), (seconds(20, 40), Form::Lines), (seconds(20, 40), Form::Csv)] {
        let (_, file, proof) = write(folder.path(), &filter, form);
        let good = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = good.split_inclusive('\n').collect();
        let at = lines.len() / 2;
        let (before, line, next, after) = (lines[..at].concat(), lines[at], lines[at + 1], lines[at + 2..].concat());
        let changes = [
            ("altered", format!("{before}{}{next}{after}", line.replacen("ana@example.com", "eva@example.com", 2))),
            ("dropped", format!("{before}{next}{after}")),
            ("doubled", format!("{before}{line}{line}{next}{after}")),
            ("swapped", format!("{before}{next}{line}{after}")),
            ("cut at the end", lines[..lines.len() - 1].concat()),
            ("cut in a line", good[..good.len() - 3].to_owned()),
            ("lengthened", format!("{good}{}", lines[lines.len() - 1])),
        ];
        for (what, bad) in changes {
            fs::write(&file, bad).unwrap();
            assert!(check(&file, &proof, &key).is_err(), "{what}");
        }
        fs::write(&file, &good).unwrap();
        let text = fs::read_to_string(&proof).unwrap();
        for (at, item) in text.lines().enumerate() {
            let is_name = item.starts_with("file ");
            let bad: String = text.lines().enumerate().filter(|(here, _)| *here != at).map(|(_, item)| format!("{item}\n")).collect();
            fs::write(&proof, bad).unwrap();
            assert!(is_name || check(&file, &proof, &key).is_err(), "without line {at} of the proof: {item}");
        }
        fs::write(&proof, &text).unwrap();
        let other = crate::audit::note::Signer::new(&[9; 32], "portcullis/gate.test").unwrap();
        assert!(matches!(check(&file, &proof, other.public()), Err(CheckFault::Checkpoint(_))));
        check(&file, &proof, &key).unwrap();
    }
}

#[test]
fn a_log_that_was_changed_is_not_exported_as_proven() {
    let folder = tempdir().unwrap();
    log(folder.path(), 40);
    let path = &layout::segments(folder.path()).unwrap()[1].records;
    fs::write(path, fs::read_to_string(path).unwrap().replacen("ana@", "eva@", 1)).unwrap();
    let request = Request { filter: Filter::default(), form: Form::Lines, help: Help::Nothing };
    let (mut records, mut names, mut proof) = (Vec::new(), Vec::new(), Vec::new());
    let mut sink = Sink { records: &mut records, names: &mut names, proof: &mut proof };
    let outcome = export(folder.path(), &request, &KeyBook::default(), &mut sink, "out", &mut |_, _| ());
    assert!(matches!(outcome, Err(ExportFault::Unproven(_))), "{outcome:?}");
}

#[test]
fn records_that_no_checkpoint_covers_are_left_out_and_counted() {
    let folder = tempdir().unwrap();
    log(folder.path(), 20);
    let path = layout::segments(folder.path()).unwrap().last().unwrap().records.clone();
    let text = fs::read_to_string(&path).unwrap();
    let next = text.lines().last().unwrap().replace("\"sequence\":19}}", "\"sequence\":20}}");
    fs::write(&path, format!("{text}{next}\n")).unwrap();
    let (exported, file, proof) = write(folder.path(), &Filter::default(), Form::Lines);
    assert_eq!((exported.records, exported.uncovered), (20, 1));
    check(&file, &proof, &key(folder.path())).unwrap();
}

#[test]
fn nothing_in_a_table_is_a_formula_or_another_row() {
    let folder = tempdir().unwrap();
    log(folder.path(), 12);
    let (exported, file, _) = write(folder.path(), &Filter::default(), Form::Csv);
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.matches("\r\n").count() as u64, exported.records + 1);
    assert_eq!(text.matches('\n').count() as u64, exported.records + 1);
    for row in text.lines().skip(1) {
        let table = row.split_once(",\"{").unwrap().0;
        assert!(table.contains("'=cmd|"), "{table}");
        for sign in ['=', '+', '-', '@'] {
            assert!(!table.contains(&format!(",{sign}")) && !table.contains(&format!("\"{sign}")), "{table}");
        }
        assert!(!row.contains('\u{202e}') && !row.contains('\r'), "{row}");
    }
}
