//! A disk without room: refused at once, a last record says so, and the log goes on by itself when there is room again.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kernel::Failure;
use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, exchange_end, records, runtime, settings};
use crate::audit::media::{Disk, Media, MediaFile};
use crate::audit::reserve::RESERVE_BYTES;
use crate::audit::{Durability, Recorder, Settings};

/// A disk of so many bytes. Every file takes what was written to it or allocated for it.
#[derive(Clone)]
struct SmallDisk(Arc<Mutex<u64>>);

struct SmallFile {
    file: Box<dyn MediaFile>,
    disk: SmallDisk,
    length: u64,
    taken: u64,
}

impl SmallDisk {
    fn new(bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let mut room = self.0.lock().unwrap();
        *room = room.checked_sub(bytes).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn give(&self, bytes: u64) {
        *self.0.lock().unwrap() += bytes;
    }

    fn room(&self) -> u64 {
        *self.0.lock().unwrap()
    }
}

impl Media for SmallDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>> {
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        Ok(Box::new(SmallFile { file: Disk.open(path)?, disk: self.clone(), length, taken: length }))
    }
    /// The draft and what it replaces stand side by side for a moment.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.take(content.len() as u64)?;
        Disk.replace(path, content)?;
        self.give(content.len() as u64);
        Ok(())
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)
    }
}

impl SmallFile {
    fn grow(&mut self, end: u64) -> io::Result<()> {
        self.disk.take(end.saturating_sub(self.taken))?;
        self.taken = self.taken.max(end);
        Ok(())
    }
}

impl MediaFile for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.grow(self.length + bytes.len() as u64)?;
        self.length += bytes.len() as u64;
        self.file.write(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.give(self.taken.saturating_sub(length));
        (self.taken, self.length) = (length, length);
        self.file.truncate(length)
    }
    fn allocate(&mut self, _start: u64, end: u64) -> io::Result<()> {
        self.grow(end)
    }
    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>> {
        self.file.read_prefix(length)
    }
    fn put_copy(&self, path: &Path, length: u64) -> io::Result<()> {
        self.disk.take(length)?;
        self.file.put_copy(path, length)
    }
    fn length_at(&self, path: &Path) -> Option<u64> {
        self.file.length_at(path)
    }
}

fn start(folder: &Path, disk: &SmallDisk, segment_bytes: u64) -> Recorder {
    let settings = Settings { segment_bytes, ..settings(folder, Durability::Written) };
    Recorder::start_on(Box::new(disk.clone()), settings, clock()).unwrap()
}

fn events(folder: &Path) -> Vec<String> {
    records(folder).iter().map(|record| record["unmapped"]["portcullis"]["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_full_disk_says_so_in_a_last_record_and_goes_on_when_there_is_room() {
    let folder = tempdir().unwrap();
    // Room for the reserve, and for less than a segment.
    let disk = SmallDisk::new(RESERVE_BYTES + 300_000);
    let recorder = start(folder.path(), &disk, 64 << 20);
    let runtime = runtime();
    let mut passed = 0;
    while runtime.block_on(recorder.keep(allow(1))).is_ok() {
        passed += 1;
    }
    assert!(passed > 100, "small steps are taken where there is no room for a whole segment: {passed}");
    recorder.keep_later(exchange_end(1));
    assert_eq!(runtime.block_on(recorder.keep(allow(2))), Err(Failure::Audit));
    assert_eq!(events(folder.path()).last().unwrap(), "log_full");
    assert_eq!(check_log(folder.path()).findings, []);
    assert_eq!(check_log(folder.path()).uncovered, 0, "the last record is signed");

    disk.give(64 << 20);
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    runtime.block_on(recorder.keep(allow(3))).unwrap();
    recorder.shutdown();
    let found = events(folder.path());
    assert_eq!(found[passed..], ["log_full", "log_recovered", "exchange_end", "decision"]);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_little_room_is_not_taken_for_the_end_of_the_fault() {
    let folder = tempdir().unwrap();
    let disk = SmallDisk::new(RESERVE_BYTES + 300_000);
    let recorder = start(folder.path(), &disk, 64 << 20);
    let runtime = runtime();
    while runtime.block_on(recorder.keep(allow(1))).is_ok() {}
    // Less than the reserve itself needs.
    disk.give(1_000);
    recorder.shutdown();
    assert_eq!(events(folder.path()).last().unwrap(), "log_full", "stopping tries once more, and finds too little");
}

#[test]
fn room_that_a_segment_did_not_use_is_given_back() {
    let folder = tempdir().unwrap();
    let all = 100 << 20;
    let disk = SmallDisk::new(all);
    let recorder = start(folder.path(), &disk, 4_000);
    let runtime = runtime();
    for number in 0..60 {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
    }
    recorder.shutdown();
    let taken = all - disk.room();
    // The reserve, and what stands in the files.
    assert!(taken < RESERVE_BYTES + 150_000, "{taken} bytes are taken");
}

#[test]
fn a_disk_without_room_for_the_reserve_still_begins() {
    let folder = tempdir().unwrap();
    let disk = SmallDisk::new(RESERVE_BYTES / 2);
    let recorder = start(folder.path(), &disk, 100_000);
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    recorder.shutdown();
    assert_eq!(check_log(folder.path()).findings, []);
}
