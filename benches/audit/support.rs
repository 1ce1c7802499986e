//! What the measurements share: folders, settings, CPU time, medians.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis::audit::{Durability, QUEUE, SEGMENT_BYTES, Settings};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A folder that goes when the measurement is over.
pub fn folder() -> TempDir {
    match std::env::var_os("AUDIT_DIR") {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

pub fn settings(folder: &Path, durability: Durability) -> Settings {
    Settings {
        dir: folder.to_owned(),
        head: folder.join("head"),
        durability,
        signing_key: Zeroizing::new([7; 32]),
        origin: ORIGIN.to_owned(),
        queue: QUEUE,
        segment_bytes: SEGMENT_BYTES,
    }
}

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.replace(['_', ','], "").parse().unwrap())
}

/// CPU time of all threads of this process that still run, from the scheduler's accounting.
pub fn cpu() -> Duration {
    cpu_of(|_| true)
}

/// As [`cpu`], of the thread that writes the log.
pub fn writer_cpu() -> Duration {
    cpu_of(|name| name == "audit\n")
}

fn cpu_of(wanted: impl Fn(&str) -> bool) -> Duration {
    let of_task = |path: &Path| {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named = |path: &std::path::PathBuf| wanted(&fs::read_to_string(path.join("comm")).unwrap_or_default());
    Duration::from_nanos(tasks.filter(named).map(|path| of_task(&path)).sum())
}

/// The middle value, and the smallest and largest.
pub fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

pub const ORIGIN: &str = "portcullis/gate.test";
