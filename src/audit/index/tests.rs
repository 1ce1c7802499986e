//! An index finds what a scan finds, and a bad one changes nothing but the time it takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use kernel::event::{Body, Event, Verdict};
use kernel::policy::Reason;
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::time::Timestamp;
use proptest::prelude::*;
use tempfile::tempdir;

use super::{Index, Tender, build, list, path_of, tend};
use crate::audit::fixtures::{clock, decision, exchange_end, runtime, settings, sign_in};
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::search::filter::Filter;
use crate::audit::search::{End, Found, Help, Order, Query, search};
use crate::audit::stats::count;
use crate::audit::tail::Follower;
use crate::audit::{Durability, Recorder, Settings};

/// A log of many small segments: people, routes and reasons in turn, one second apart.
fn log(folder: &Path, requests: u64) {
    let settings = Settings { segment_bytes: 20_000, ..settings(folder, Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    let runtime = runtime();
    for number in 0..requests {
        let mut facts = decision(0);
        facts.request_id = id(number);
        facts.route = Some(RouteId::new(["app", "wiki", "shop"][number as usize % 3]));
        if number.is_multiple_of(5) {
            facts.verdict = Verdict::Deny;
            facts.reason = Some(Reason::NoRule);
        }
        if number.is_multiple_of(2) {
            facts.actor.as_mut().unwrap().subject.sub = format!("person-{}", number % 7);
        }
        let event = Event { time: Timestamp::from_seconds(1_790_000_000 + number), body: Body::Decision(Box::new(facts)) };
        runtime.block_on(recorder.keep(event)).unwrap();
        if number.is_multiple_of(10) {
            recorder.keep_later(exchange_end(number as u8));
        }
        if number.is_multiple_of(25) {
            runtime.block_on(recorder.keep(sign_in())).unwrap();
        }
    }
    recorder.shutdown();
}

fn id(number: u64) -> RequestId {
    let mut bytes = [0xa5; 16];
    // The first letters tell the ids apart, as they do where they are random.
    bytes[..4].copy_from_slice(&(number as u32).to_be_bytes());
    RequestId::new(bytes)
}

fn ask(folder: &Path, filter: &Filter, order: Order, limit: usize, help: Help) -> (Vec<Found>, super::super::search::Tally) {
    search(folder, &Query { filter: filter.clone(), order, limit, help }, &mut |_, _| ()).unwrap()
}

fn closed(folder: &Path) -> Vec<SegmentPaths> {
    let mut segments = layout::segments(folder).unwrap();
    segments.pop();
    segments
}

fn filters() -> Vec<Filter> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    vec![
        Filter::default(),
        Filter { request_ids: vec![id(77).to_string()], ..Filter::default() },
        Filter { request_ids: vec![id(123).to_string()[..8].to_owned()], ..Filter::default() },
        Filter { people: words(&["ana@example.com"]), decisions: words(&["deny"]), ..Filter::default() },
        Filter { people: words(&["https://idp.test#person-4"]), ..Filter::default() },
        Filter { routes: words(&["wiki", "shop"]), reasons: words(&["no_rule"]), ..Filter::default() },
        Filter { events: words(&["sign_in", "exchange_end"]), ..Filter::default() },
        Filter { from: Some(1_790_000_100_000), until: Some(1_790_000_110_000), ..Filter::default() },
        Filter { routes: words(&["app"]), from: Some(1_790_000_190_000), until: Some(1_790_000_230_000), ..Filter::default() },
        Filter { routes: words(&["nowhere"]), ..Filter::default() },
    ]
}

#[test]
fn a_search_by_index_finds_what_a_scan_finds() {
    let folder = tempdir().unwrap();
    log(folder.path(), 300);
    assert!(closed(folder.path()).len() > 8, "too few segments to say anything");
    while tend(folder.path()).unwrap() {}
    for filter in filters() {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for limit in [1, 7, 10_000] {
                let (by_index, tally) = ask(folder.path(), &filter, order, limit, Help::Index);
                let (by_scan, _) = ask(folder.path(), &filter, order, limit, Help::Nothing);
                assert_eq!(by_index, by_scan, "{filter:?} {order:?} {limit}");
                let indexed = filter.conditions().next().is_some();
                assert!(!indexed || tally.scanned <= 1, "only the open segment is read whole: {tally:?}");
                assert_eq!(tally.end, if by_index.len() == limit { End::Limit } else { End::Complete });
            }
        }
    }
    let (all, _) = ask(folder.path(), &Filter::default(), Order::OldestFirst, 10_000, Help::Index);
    assert!(all.iter().enumerate().all(|(at, found)| found.sequence == at as u64 && layout::sequence_of(&found.line) == Some(at as u64)));
    assert_eq!(ask(folder.path(), &filters()[1], Order::NewestFirst, 9, Help::Index).0.len(), 1);
}

#[test]
fn an_index_that_is_damaged_anywhere_leaves_nothing_out() {
    let folder = tempdir().unwrap();
    log(folder.path(), 40);
    while tend(folder.path()).unwrap() {}
    let segment = &closed(folder.path())[0];
    let good = fs::read(path_of(segment)).unwrap();
    let filters = filters();
    let expected: Vec<_> = filters.iter().map(|filter| ask(folder.path(), filter, Order::OldestFirst, 1_000, Help::Nothing).0).collect();
    // Every part of it, and its ends.
    let places = (0..good.len()).step_by(good.len() / 60).chain([good.len() - 1]);
    for at in places {
        for damage in ["flip", "cut", "zero"] {
            let mut bad = good.clone();
            match damage {
                "flip" => bad[at] ^= 0x55,
                "cut" => bad.truncate(at),
                _ => bad[at..].fill(0),
            }
            for (filter, expected) in filters.iter().zip(&expected) {
                fs::write(path_of(segment), &bad).unwrap();
                assert_eq!(&ask(folder.path(), filter, Order::OldestFirst, 1_000, Help::Index).0, expected, "{damage} at {at}: {filter:?}");
            }
        }
    }
}

#[test]
fn a_damaged_index_is_made_again() {
    let folder = tempdir().unwrap();
    log(folder.path(), 40);
    while tend(folder.path()).unwrap() {}
    let segment = &closed(folder.path())[0];
    let good = fs::read(path_of(segment)).unwrap();
    let mut bad = good.clone();
    // In the block of terms, which is read only when it is asked for.
    let at = bad.len() - Index::open(segment).unwrap().head().lists as usize - 100;
    bad[at] ^= 1;
    fs::write(path_of(segment), &bad).unwrap();
    for filter in &filters() {
        ask(folder.path(), filter, Order::OldestFirst, 1_000, Help::Index);
    }
    assert_eq!(fs::read(path_of(segment)).unwrap(), good);
}

#[test]
fn the_index_of_another_segment_is_not_believed() {
    let folder = tempdir().unwrap();
    log(folder.path(), 60);
    while tend(folder.path()).unwrap() {}
    let segments = closed(folder.path());
    fs::copy(path_of(&segments[1]), path_of(&segments[0])).unwrap();
    assert!(Index::open(&segments[0]).is_none());
    let filter = Filter { request_ids: vec![id(1).to_string()], ..Filter::default() };
    assert_eq!(ask(folder.path(), &filter, Order::NewestFirst, 9, Help::Index).0.len(), 1);
    assert!(Index::open(&segments[0]).is_some(), "it was made again in passing");
}

#[test]
fn a_segment_that_still_grows_has_no_index() {
    let folder = tempdir().unwrap();
    log(folder.path(), 30);
    while tend(folder.path()).unwrap() {}
    let segments = layout::segments(folder.path()).unwrap();
    let have: Vec<bool> = segments.iter().map(|segment| path_of(segment).exists()).collect();
    assert_eq!(have.iter().filter(|has| !**has).count(), 1);
    assert!(!have[have.len() - 1]);
}

/// As a gateway makes them while it writes.
#[test]
fn the_newest_segment_has_an_index_of_its_beginning_and_the_rest_is_read() {
    let folder = tempdir().unwrap();
    let mut tender = Tender::keeping_every(1);
    for requests in [30, 25, 40, 1, 30] {
        log(folder.path(), requests);
        while tender.tend(folder.path()).unwrap() {}
        let segments = layout::segments(folder.path()).unwrap();
        let (newest, closed) = segments.split_last().unwrap();
        for segment in closed {
            assert_eq!(fs::read(path_of(segment)).unwrap(), build(segment).unwrap().unwrap(), "as if it was read at once");
        }
        assert!(Index::open_of_beginning(newest).is_some());
        // More that no index knows; each opening of the log leaves some.
        log(folder.path(), 3);
        for filter in filters() {
            for (order, limit) in
                [(Order::NewestFirst, 1), (Order::OldestFirst, 2), (Order::NewestFirst, 9_000), (Order::OldestFirst, 9_000)]
            {
                let (by_index, _) = ask(folder.path(), &filter, order, limit, Help::Index);
                assert_eq!(by_index, ask(folder.path(), &filter, order, limit, Help::Nothing).0, "{filter:?} {order:?} {limit}");
            }
            let counted = |help| {
                let stats = count(folder.path(), &filter, help, &mut |_, _| ()).unwrap();
                (stats.records, stats.unreadable, stats.span, stats.census)
            };
            assert_eq!(counted(Help::Index), counted(Help::Nothing), "{filter:?}");
        }
    }
}

#[test]
fn what_no_checkpoint_covers_is_in_no_index() {
    let folder = tempdir().unwrap();
    log(folder.path(), 6);
    let newest = layout::segments(folder.path()).unwrap().pop().unwrap();
    let covered = fs::metadata(&newest.records).unwrap().len();
    let text = fs::read_to_string(&newest.records).unwrap();
    fs::write(&newest.records, format!("{text}{}", text.lines().next().unwrap().to_owned() + "\n")).unwrap();
    Tender::keeping_every(1).tend(folder.path()).unwrap();
    assert_eq!(Index::open_of_beginning(&newest).unwrap().head().bytes, covered);
}

/// The index of a beginning that is not a beginning any more.
#[test]
fn an_index_of_more_than_there_is_is_not_used() {
    let folder = tempdir().unwrap();
    log(folder.path(), 6);
    Tender::keeping_every(1).tend(folder.path()).unwrap();
    let newest = layout::segments(folder.path()).unwrap().pop().unwrap();
    let text = fs::read_to_string(&newest.records).unwrap();
    let shorter: String = text.split_inclusive('\n').take(2).collect();
    fs::write(&newest.records, &shorter).unwrap();
    assert!(Index::open_of_beginning(&newest).is_none());
    assert_eq!(ask(folder.path(), &Filter::default(), Order::OldestFirst, 9, Help::Index).0.len(), 2);
}

#[test]
fn lines_that_are_no_records_are_counted_and_hide_nothing() {
    let folder = tempdir().unwrap();
    log(folder.path(), 40);
    let segment = &closed(folder.path())[0];
    let text = fs::read_to_string(&segment.records).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let garbage = format!("{}\n\u{1b}[2J not a record\n{}\n", lines[..3].join("\n"), lines[4..].join("\n"));
    fs::write(&segment.records, garbage).unwrap();
    let filter = Filter { request_ids: vec![id(4).to_string()], ..Filter::default() };
    for help in [Help::Index, Help::Nothing] {
        assert_eq!(ask(folder.path(), &filter, Order::NewestFirst, 9, help).0.len(), 1);
    }
    assert_eq!(ask(folder.path(), &filter, Order::NewestFirst, 9, Help::Nothing).1.unreadable, 1);
    assert_eq!(Index::open(segment).unwrap().head().unreadable, 1);
}

/// A pipe that nobody writes to would hold up whoever opens it.
#[test]
fn a_pipe_in_the_place_of_an_index_or_a_segment_holds_nobody_up() {
    let folder = tempdir().unwrap();
    log(folder.path(), 40);
    let segment = &closed(folder.path())[0];
    let filter = Filter { request_ids: vec![id(4).to_string()], ..Filter::default() };
    let pipe = |path: &Path| {
        drop(fs::remove_file(path));
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    pipe(&path_of(segment));
    assert_eq!(ask(folder.path(), &filter, Order::NewestFirst, 9, Help::Index).0.len(), 1);
    pipe(&segment.records);
    pipe(&path_of(segment));
    let query = Query { filter, order: Order::NewestFirst, limit: 9, help: Help::Index };
    assert!(search(folder.path(), &query, &mut |_, _| ()).unwrap_err().to_string().contains("not a file"));
    assert!(Follower::begin(folder.path(), 100).is_err());
}

#[test]
fn an_index_is_small() {
    let folder = tempdir().unwrap();
    log(folder.path(), 300);
    let segments = closed(folder.path());
    let built = build(&segments[3]).unwrap().unwrap().len() as u64;
    // A block is whole however little is in it; a segment of this size has one.
    assert!(built < 4_096 + fs::metadata(&segments[3].records).unwrap().len() / 10, "{built}");
}

proptest! {
    #[test]
    fn lists_come_back(numbers in proptest::collection::btree_set(0_u32..5_000_000, 0..200)) {
        let numbers: Vec<u32> = numbers.into_iter().collect();
        let mut bytes = Vec::new();
        list::write(&numbers, &mut bytes);
        prop_assert_eq!(list::read(&bytes, 5_000_000), Some(numbers));
    }

    #[test]
    fn no_bytes_make_the_reader_of_lists_fail(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _any = list::read(&bytes, 1_000);
    }

    #[test]
    fn no_bytes_make_the_reader_of_heads_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = super::Head::read(&bytes);
    }
}
