//! What reads bytes from outside, before every seed of its fuzz target and what some hundred small changes make of each: the known
//! attacks and whatever fuzzing once found. The properties are those of the fuzz targets, to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../../fuzz/properties/config.rs"]
mod config;
#[path = "../../fuzz/properties/cookie.rs"]
mod cookie;
#[path = "../../fuzz/properties/form.rs"]
mod form;
#[path = "../../fuzz/properties/frames.rs"]
mod frames;
#[path = "../../fuzz/properties/framing.rs"]
mod framing;
#[path = "../../fuzz/properties/glance.rs"]
mod glance;
#[path = "../../fuzz/properties/headers.rs"]
mod headers;
#[path = "../../fuzz/properties/host.rs"]
mod host;
mod mutate;
#[path = "../../fuzz/properties/note.rs"]
mod note;
#[path = "../../fuzz/properties/path.rs"]
mod path;
#[path = "../../fuzz/properties/proxy.rs"]
mod proxy;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use mutate::Dice;

/// Every target; a test below is the only one who replays it.
const TARGETS: [&str; 11] = ["config", "cookie", "form", "framing", "frames", "glance", "headers", "host", "note", "path", "proxy"];

#[test]
fn heads_and_chunks_have_one_end() {
    replay("framing", framing::check, 300);
}

#[test]
fn no_field_of_a_client_states_who_asks() {
    replay("headers", headers::check, 300);
}

#[test]
fn a_host_has_one_reading() {
    replay("host", host::check, 500);
}

#[test]
fn a_path_has_one_reading() {
    replay("path", path::check, 500);
}

#[test]
fn a_cookie_has_one_reading() {
    replay("cookie", cookie::check, 300);
}

#[test]
fn a_proxy_header_has_one_reading() {
    replay("proxy", proxy::check, 500);
}

#[test]
fn a_form_and_a_query_have_one_reading() {
    replay("form", form::check, 300);
}

#[test]
fn a_configuration_is_taken_whole_or_not_at_all() {
    replay("config", config::check, 20);
}

#[test]
fn frames_are_found_where_the_library_finds_them() {
    replay("frames", frames::check, 500);
}

#[test]
fn what_is_seen_of_a_record_at_a_glance_stands_there() {
    replay("glance", glance::check, 200);
}

#[test]
fn a_note_opens_as_what_was_signed() {
    replay("note", note::check, 100);
}

#[test]
fn every_target_has_a_property_and_seeds_and_is_replayed() {
    let names: BTreeSet<String> = TARGETS.map(str::to_owned).into();
    for folder in ["targets", "properties", "seeds"] {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(entries(&fuzz().join(folder)).into_iter().map(stem).collect::<BTreeSet<_>>(), names, "{folder}");
    }
    let manifest: toml::Table = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap().parse().unwrap();
    let built = manifest["bin"].as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap().to_owned());
    assert_eq!(built.collect::<BTreeSet<_>>(), names);
    let here = include_str!("main.rs");
    assert!(names.iter().all(|name| here.contains(&format!("replay(\"{name}\", {name}::check"))));
}

/// Runs `check` over the seeds of a target and `changes` variants of each, and names the input that it fails on.
fn replay(target: &str, check: fn(&[u8]), changes: usize) {
    let words = mutate::words(&fs::read_to_string(fuzz().join("words.dict")).unwrap());
    let paths = entries(&fuzz().join("seeds").join(target));
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(seeds.len() >= 8 && words.len() > 30, "{target} has {} seeds", seeds.len());
    for (path, seed) in paths.iter().zip(&seeds) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut dice = Dice::named(&format!("{target}/{name}"));
        run(target, name, check, seed);
        for _ in 0..changes {
            run(target, name, check, &mutate::change(seed, &seeds, &words, &mut dice));
        }
    }
}

fn run(target: &str, name: &str, check: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| check(input))) {
        eprintln!("fuzz/seeds/{target}/{name}, or what became of it: \"{}\"", input.escape_ascii());
        panic::resume_unwind(cause);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
