//! Tests of path patterns and the route table: the matcher against a plain recursive one, and no default anywhere
//! (PN-11, PN-12, PN-15, PN-17).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::matcher::{PathPattern, PatternFault};
use crate::request::path::{CanonicalPath, PathFault};

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

fn path(text: &str) -> CanonicalPath {
    CanonicalPath::parse(text).unwrap()
}

#[track_caller]
fn check(text: &str, yes: &[&str], no: &[&str]) {
    for target in yes {
        assert!(pattern(text).matches(&path(target)), "{text} must match {target}");
    }
    for target in no {
        assert!(!pattern(text).matches(&path(target)), "{text} must not match {target}");
    }
}

#[test]
fn a_pattern_without_stars_is_one_path() {
    check("/", &["/"], &["/a", "/a/"]);
    check("/app", &["/app", "/%61pp"], &["/app/", "/App", "/APP", "/apps", "/ap", "/app/x", "/x/app"]);
    check("/app/", &["/app/"], &["/app", "/app/x"]);
}

#[test]
fn a_prefix_is_segment_wise() {
    check(
        "/public/**",
        &["/public", "/public/", "/public/a", "/public/a/b/"],
        &["/publicadmin", "/public.bak", "/Public/a", "/", "/a/public"],
    );
}

#[test]
fn one_star_stays_inside_its_segment() {
    check("/a/*", &["/a/b", "/a/bcd", "/a/*"], &["/a", "/a/", "/a/b/c", "/a/b/"]);
    check("/a/*.css", &["/a/x.css", "/a/.css", "/a/a.css.css"], &["/a/x.cssx", "/a/b/x.css", "/a/xcss"]);
    check("/a*b", &["/ab", "/axb", "/abb"], &["/a", "/b", "/abc", "/a/b"]);
    check("/ab*ba", &["/abba", "/abxba"], &["/aba", "/ab", "/ba"]);
    check("/*a*b*", &["/ab", "/xaxbx", "/aab"], &["/ba", "/a", "/b"]);
    check("/a*b*c", &["/abc", "/axbbc", "/abcbc"], &["/acb", "/ac", "/abcd"]);
    check("/aa*aa*aa", &["/aaaaaa"], &["/aaaaa", "/aaaa"]);
}

#[test]
fn a_dot_beside_a_star_is_a_dot() {
    check("/.*", &["/.env", "/..env"], &["/env", "/"]);
    check("/*.*", &["/a.b", "/.b", "/a."], &["/ab", "/"]);
    check("/*..", &["/a.."], &["/a.", "/a"]);
}

#[test]
fn two_stars_are_any_number_of_segments() {
    check("/**", &["/", "/a", "/a/b/c/"], &[]);
    check("/**/x", &["/x", "/a/x", "/a/b/x", "/x/x"], &["/", "/xx", "/x/", "/x/y"]);
    check("/a/**/b/**/c", &["/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c/c"], &["/a/c", "/a/b", "/a/c/b", "/b/c"]);
    check("/**/a/*", &["/a/b", "/x/a/b", "/a/a/a"], &["/a", "/a/b/c"]);
}

#[test]
fn both_sides_may_be_written_plain_or_escaped() {
    check("/gr\u{f6}\u{df}e", &["/gr%C3%B6%C3%9Fe"], &["/gr%C3%B6e"]);
    check("/gr%c3%b6%C3%9Fe", &["/gr%C3%B6%C3%9Fe"], &[]);
    check("/a b", &["/a%20b"], &["/ab"]);
    check("/%2A", &["/*", "/%2A"], &["/x"]);
}

#[test]
fn an_escaped_character_is_the_character() {
    for character in "!$&'()+,=:@[]^|".chars() {
        let escape = format!("%{:02x}", u32::from(character));
        for (written, asked) in [(character.to_string(), escape.clone()), (escape, character.to_string())] {
            check(&format!("/a{written}b/**"), &[&format!("/a{asked}b/x")], &["/ab/x"]);
        }
    }
}

#[test]
fn a_pattern_that_no_path_can_match_is_refused() {
    let refused = |text: &str, fault: PatternFault| assert_eq!(PathPattern::parse(text).unwrap_err(), fault, "{text}");
    refused("app", PatternFault::NotAbsolute);
    refused("", PatternFault::NotAbsolute);
    refused("**", PatternFault::NotAbsolute);
    refused("/a**", PatternFault::DoubleStarInSegment);
    refused("/***", PatternFault::DoubleStarInSegment);
    refused("/a//b", PatternFault::EmptySegment);
    refused("/a?x", PatternFault::Query);
    refused("/a#x", PatternFault::Query);
    refused("/a/../b", PatternFault::Path(PathFault::DotSegment));
    refused("/a%2fb", PatternFault::Path(PathFault::EncodedSeparator));
    refused("/a;b", PatternFault::Path(PathFault::SegmentParameter));
    refused("/a\\b", PatternFault::Path(PathFault::RawCharacter));
    refused("/%252e", PatternFault::Path(PathFault::DoubleEncoding));
    assert!(PathPattern::parse(&"/a".repeat(32)).is_ok());
    refused(&"/a".repeat(33), PatternFault::TooManySegments);
}

#[test]
fn a_pattern_shows_what_was_written() {
    let shown = pattern("/gr%c3%b6/**");
    assert_eq!(
        (shown.as_str(), format!("{shown}"), format!("{shown:?}")),
        ("/gr%c3%b6/**", "/gr%c3%b6/**".to_owned(), "\"/gr%c3%b6/**\"".to_owned())
    );
}

#[test]
fn everything_is_matched_by_double_stars_alone() {
    assert!(pattern("/**").matches_everything());
    assert!(pattern("/**/**").matches_everything());
    for text in ["/", "/*", "/**/*", "/a/**"] {
        assert!(!pattern(text).matches_everything(), "{text}");
    }
}

#[test]
fn what_surely_covers_is_said_to_cover() {
    for (wide, narrow) in [
        ("/**", "/a/b"),
        ("/**", "/**"),
        ("/**", "/a/**/b"),
        ("/a/**", "/a"),
        ("/a/**", "/a/*/b/**"),
        ("/a/*", "/a/b"),
        ("/a/*", "/a/*"),
        ("/a/*", "/a/*.css"),
        ("/*.css", "/x.css"),
        ("/**/x", "/a/b/x"),
    ] {
        assert!(pattern(wide).covers(&pattern(narrow)), "{wide} covers {narrow}");
    }
    for (wide, narrow) in
        [("/a", "/b"), ("/a/*", "/a/**"), ("/a/b", "/a/*"), ("/*", "/"), ("/a", "/a/b"), ("/a/b", "/a"), ("/*.css", "/*.js")]
    {
        assert!(!pattern(wide).covers(&pattern(narrow)), "{wide} does not cover {narrow}");
    }
}

/// Matches as the documentation says, character by character and with no cleverness.
fn naive(pattern: &[&str], segments: &[&str]) -> bool {
    match (pattern, segments) {
        ([], []) => true,
        (["**", rest @ ..], _) => naive(rest, segments) || matches!(segments, [_, after @ ..] if naive(pattern, after)),
        ([glob, rest @ ..], [segment, after @ ..]) => {
            let is_lone_star_at_nothing = segment.is_empty() && glob.contains('*');
            !is_lone_star_at_nothing && naive_segment(glob.as_bytes(), segment.as_bytes()) && naive(rest, after)
        }
        _ => false,
    }
}

fn naive_segment(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => naive_segment(rest, text) || matches!(text, [_, after @ ..] if naive_segment(glob, after)),
        ([one, rest @ ..], [other, after @ ..]) => one == other && naive_segment(rest, after),
        _ => false,
    }
}

fn any_pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[ab]{1,3}", 2 => "([ab]{0,2}\\*)[ab]{0,2}", 1 => "[ab]?\\*[ab]\\*[ab]?", 2 => Just("**".to_owned())];
    (prop::collection::vec(segment, 0..5), prop::bool::weighted(0.2)).prop_map(|(segments, slash)| {
        let text = format!("/{}", segments.join("/"));
        if slash && !text.ends_with('/') { format!("{text}/") } else { text }
    })
}

fn any_path() -> impl Strategy<Value = String> {
    (prop::collection::vec("[ab]{1,4}", 0..6), prop::bool::weighted(0.2)).prop_map(|(segments, slash)| {
        let text = format!("/{}", segments.join("/"));
        if slash && !text.ends_with('/') { format!("{text}/") } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_matcher_agrees_with_a_naive_one(text in any_pattern(), target in any_path()) {
        let globs: Vec<_> = text[1..].split('/').collect();
        let segments: Vec<_> = target[1..].split('/').collect();
        prop_assert_eq!(pattern(&text).matches(&path(&target)), naive(&globs, &segments), "{} {}", text, target);
    }

    #[test]
    fn a_pattern_of_literal_text_matches_that_text_alone(target in any_path(), other in any_path()) {
        prop_assert_eq!(pattern(&target).matches(&path(&other)), target == other);
    }
}

/// Two patterns of which the first says that it covers the second.
fn covering() -> impl Strategy<Value = (String, String)> {
    (any_pattern(), any_pattern()).prop_filter("covers", |(wide, narrow)| pattern(wide).covers(&pattern(narrow)))
}

proptest! {
    #[test]
    fn a_pattern_that_covers_matches_whatever_the_other_matches((wide, narrow) in covering(), targets in prop::collection::vec(any_path(), 20)) {
        for target in targets {
            prop_assert!(!pattern(&narrow).matches(&path(&target)) || pattern(&wide).matches(&path(&target)), "{} {} {}", wide, narrow, target);
        }
    }
}
