//! Codes are a promise: what is written about them says what they mean.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::Reason;

const DOCUMENT: &str = include_str!("../../../../docs/siem.md");

/// Code and meaning of each row of the table of reason codes.
fn documented() -> Vec<(&'static str, &'static str)> {
    let (_, section) = DOCUMENT.split_once("\n## Reason codes\n").expect("the section is there");
    let section = section.split("\n## ").next().expect("text before the next section");
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn every_reason_code_is_documented_with_its_meaning() {
    let documented = documented();
    for reason in Reason::ALL {
        let row = (reason.code(), reason.meaning());
        assert!(documented.contains(&row), "docs/siem.md has no row that begins: | `{}` | {} |", row.0, row.1);
    }
}

#[test]
fn no_other_code_is_documented_and_none_twice() {
    let documented = documented();
    for (code, _) in &documented {
        assert!(Reason::parse(code).is_some(), "docs/siem.md tells of {code}, which does not exist");
    }
    assert_eq!(documented.len(), Reason::ALL.len());
}

#[test]
fn no_two_reasons_have_one_code() {
    let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
}

#[test]
fn a_reason_is_kept_as_its_code_and_no_other_text_is_one() {
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.code()));
        assert_eq!(serde_json::from_str::<Reason>(&format!("\"{}\"", reason.code())).unwrap(), *reason);
    }
    for text in ["\"\"", "\"NoRule\"", "\"no_rule \"", "7", "null"] {
        assert!(serde_json::from_str::<Reason>(text).is_err(), "{text}");
    }
}
