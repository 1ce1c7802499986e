//! Key files: base64 of 32 random bytes, one key a line, mode 0600.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::files::{self, FileFault, Readers};
use super::secret::{Key, KeyRing};

/// Why a key file was not taken.
#[derive(Debug, Error)]
pub enum KeyFault {
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("holds no key")]
    Empty,
    #[error("line {0} is not base64 of 32 bytes")]
    Form(usize),
    #[error("line {0} is all zeros, which is no key")]
    Zero(usize),
    #[error("line {0} repeats a key")]
    Repeated(usize),
    #[error("holds more than {RING_MAX} keys")]
    TooMany,
}

impl KeyFault {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self, path: &Path) -> String {
        match self {
            Self::File(FileFault::Missing) => format!("portcullis key generate {}", path.display()),
            Self::File(fault) => fault.mend(path),
            Self::Empty | Self::Form(_) | Self::Zero(_) => {
                format!("make a key with `portcullis key generate` and write it to {}", path.display())
            }
            Self::Repeated(_) => "remove the line".to_owned(),
            Self::TooMany => "remove the oldest keys, at the end of the file".to_owned(),
        }
    }
}

/// Reads a key file that nobody else can read. Several lines are a ring, the first one current; blank lines and lines that
/// begin with `#` are left out.
pub fn read_ring(path: &Path) -> Result<KeyRing, KeyFault> {
    let text = match files::read_text(path, Readers::OwnerOnly) {
        Err(FileFault::Empty) => return Err(KeyFault::Empty),
        text => text?,
    };
    parse_ring(&text)
}

/// Reads the text of a key file.
pub fn parse_ring(text: &str) -> Result<KeyRing, KeyFault> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_key(line).ok_or(KeyFault::Form(number))?;
        if key.expose().iter().all(|byte| *byte == 0) {
            return Err(KeyFault::Zero(number));
        }
        if keys.iter().any(|known| bool::from(subtle::ConstantTimeEq::ct_eq(&known.expose()[..], &key.expose()[..]))) {
            return Err(KeyFault::Repeated(number));
        }
        keys.push(key);
    }
    if keys.len() > RING_MAX {
        return Err(KeyFault::TooMany);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or(KeyFault::Empty)?;
    Ok(KeyRing::new(current, keys.collect()))
}

fn parse_key(line: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Key::new)
}

/// Writes a key to a new file of mode 0600. Never overwrites: a lost key is data that nobody can open again.
pub fn generate(path: &Path, random: &Zeroizing<[u8; 32]>) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(random.as_slice())));
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Every key of a ring is tried when something is opened, and a rotation needs two.
const RING_MAX: usize = 16;
