//! The files of a log as they lie in the folder: what the gateway would not have put there is named.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Finding, FindingKind, VerifyFault};
use crate::layout::{self, SegmentPaths};

/// The segments in order, and what is odd about the files.
pub struct Listing {
    pub segments: Vec<SegmentPaths>,
    pub findings: Vec<Finding>,
    pub remarks: Vec<String>,
}

/// Lists the folder.
pub fn list(folder: &Path) -> Result<Listing, VerifyFault> {
    let fault = |source: io::Error| VerifyFault::Io { path: folder.to_owned(), source };
    let segments = layout::segments(folder).map_err(fault)?;
    let mut listing = Listing { segments, findings: Vec::new(), remarks: Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        names.push(entry.map_err(fault)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        let ours = is_of_the_log(&name);
        let Ok(about) = fs::symlink_metadata(folder.join(&name)) else { continue };
        if ours && about.file_type().is_symlink() {
            listing.found(FindingKind::Swapped, &name, "a symbolic link stands in the place of the file".to_owned());
        } else if ours && about.nlink() > 1 {
            let others = about.nlink() - 1;
            listing.remarks.push(format!("{name} has {others} more name(s): who may write to those changes the log"));
        }
        listing.check_name(&name);
    }
    Ok(listing)
}

/// What has the name of a file of the log and is none, be it through a link: a pipe, a folder, a device; or is a link that leads nowhere. By the first record
/// that should stand there, where it has the name of a segment.
pub fn no_files(folder: &Path) -> Result<Vec<Finding>, VerifyFault> {
    let fault = |source: io::Error| VerifyFault::Io { path: folder.to_owned(), source };
    let mut findings = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_of_the_log(&file) {
            continue;
        }
        let what = match fs::metadata(&path) {
            Ok(about) if about.is_file() => continue,
            Ok(_) => "it is not a file",
            Err(_) if fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink()) => "it is a link that leads to no file",
            // Gone meanwhile, or it says so where it is read.
            Err(_) => continue,
        };
        let sequence = SegmentPaths::parse(folder, &file).map(|paths| paths.first);
        findings.push(Finding { kind: FindingKind::Swapped, file, line: None, sequence, what: what.to_owned() });
    }
    findings.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(findings)
}

/// Whether the gateway writes a file of this name, and verification reads it.
fn is_of_the_log(name: &str) -> bool {
    name.starts_with("audit-") || name.starts_with("tiles.") || ["checkpoint", "audit.pub", "dropped"].contains(&name)
}

impl Listing {
    fn found(&mut self, kind: FindingKind, file: &str, what: String) {
        self.findings.push(Finding { kind, file: file.to_owned(), line: None, sequence: None, what });
    }

    fn check_name(&mut self, name: &str) {
        let Some((stem, kind)) = name.strip_prefix("audit-").and_then(|_| name.rsplit_once('.')) else { return };
        let known = self.segments.iter().any(|paths| paths.name().strip_suffix(".jsonl") == Some(stem));
        match kind {
            "jsonl" if !known => {
                self.found(FindingKind::Inserted, name, "it has the name of a segment, but of none that the gateway gives".to_owned());
            }
            "checkpoints" | "frontier" if !known => {
                self.remarks.push(format!("{name} stands without its segment"));
            }
            _ => {}
        }
    }
}
