//! The list of pages is the list of what is served: nothing answers that is not on it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::{GATEWAY_PAGES, PageMethods, ROUTE_PAGES, pages};

/// The arms of a function that serves pages, as `(path, methods)`.
fn served(function: &str) -> Vec<(String, String)> {
    let source = include_str!("mod.rs");
    let body = source.split(&format!("async fn {function}(")).nth(1).unwrap().split("\n    }\n").next().unwrap();
    let arm = |line: &str| {
        let (path, rest) = line.trim().strip_prefix('(')?.split_once(", ")?;
        let methods = rest.split_once(") =>")?.0.replace("Method::", "").replace(" | ", ", ");
        let path = match path {
            "pages::SECOND_FACTOR" => pages::SECOND_FACTOR,
            "pages::ENROL" => pages::ENROL,
            "pages::RECOVERY_CODES" => pages::RECOVERY_CODES,
            "pages::END_SESSION" => pages::END_SESSION,
            "pages::SIGN_OUT" => pages::SIGN_OUT,
            literal => literal.strip_prefix('"')?.strip_suffix('"')?,
        };
        Some((path.to_owned(), methods))
    };
    let mut merged: Vec<(String, String)> = Vec::new();
    for (path, methods) in body.lines().filter_map(arm) {
        match merged.iter_mut().find(|(known, _)| *known == path) {
            Some((_, known)) => *known = format!("{known}, {methods}"),
            None => merged.push((path, methods)),
        }
    }
    merged
}

#[track_caller]
fn check(function: &str, list: &[PageMethods]) {
    let listed: Vec<_> = list.iter().map(|(path, methods)| ((*path).to_owned(), (*methods).to_owned())).collect();
    assert_eq!(served(function), listed);
}

#[test]
fn every_page_that_is_served_is_listed_with_its_methods() {
    check("serve_gateway", &GATEWAY_PAGES);
    check("serve_on_route", &ROUTE_PAGES);
}
