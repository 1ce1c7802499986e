//! What the files of a configuration held when they were looked at, as far as change matters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::files::{self, Readers};

/// Every file and folder whose change may change a configuration, each as it was before it was read: whatever differs at a
/// later look was not read, so no change falls between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<Look>>);

/// SHA-256 of a file, or the names in a folder; what cannot be read has none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    File([u8; 32]),
    Folder(Vec<std::ffi::OsString>),
}

impl Seen {
    /// Looks at a file or folder that is about to be read. Of several looks the first one counts.
    pub(super) fn look(&mut self, file: PathBuf) {
        self.0.entry(file).or_insert_with_key(|file| look(file));
    }

    /// The same files and folders as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.keys().map(|file| (file.clone(), look(file))).collect())
    }

    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

fn look(file: &Path) -> Option<Look> {
    if file.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(file).ok()?.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        return Some(Look::Folder(names));
    }
    let bytes = files::read(file, Readers::Anyone).ok()?;
    digest::digest(&digest::SHA256, &bytes).as_ref().try_into().ok().map(Look::File)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn whatever_changes_after_the_first_look_is_another_look() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("file"), folder.path().join("missing"));
        std::fs::write(&file, "one").unwrap();
        let mut seen = Seen::default();
        for path in [folder.path(), &file, &missing] {
            seen.look(path.to_owned());
        }
        assert_eq!(seen, seen.again());
        std::fs::write(&file, "two").unwrap();
        seen.look(file.clone());
        assert_ne!(seen, seen.again(), "a second look does not hide what came after the first");
        std::fs::write(&file, "one").unwrap();
        assert_eq!(seen, seen.again());
        std::fs::write(&missing, "").unwrap();
        assert_ne!(seen, seen.again());
        std::fs::remove_file(&missing).unwrap();
        std::fs::write(folder.path().join("another"), "").unwrap();
        assert_ne!(seen, seen.again());
        assert_eq!(seen.files().count(), 3);
    }
}
