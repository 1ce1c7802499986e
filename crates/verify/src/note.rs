//! Signed checkpoints: C2SP `tlog-checkpoint` in a `signed-note`, with Ed25519. Reads and checks; it holds no signing key.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::tree::{Hash, sha256};

/// A tree head: how many records there are, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// The public half, with the name of the log: what an auditor holds (`audit.pub`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteFault {
    #[error("the signing key is not usable")]
    Key,
    #[error("the name of a log must not be empty and holds no space, plus sign or control character")]
    Name,
    #[error("this is not a public key in note form (name+hash+key)")]
    PublicKey,
    #[error("this is not a signed checkpoint")]
    Form,
    #[error("the checkpoint is of another log: {0}")]
    Origin(String),
    #[error("no signature is by the key of this log")]
    UnknownKey,
    #[error("the signature does not match the checkpoint")]
    Signature,
    #[error("a head of {new} records contradicts the head of {signed} records signed before")]
    Inconsistent { signed: u64, new: u64 },
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let canonical = size == "0" || (!size.starts_with('0') && size.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_name(origin) || !canonical || lines.any(str::is_empty) {
            return None;
        }
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size: size.parse().ok()?, root })
    }
}

impl PublicKey {
    /// The key of the log `name`, from its 32 bytes.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteFault> {
        if is_name(name) { Ok(Self { name: name.to_owned(), key }) } else { Err(NoteFault::Name) }
    }

    /// Reads `name+hash+key`, the form of `audit.pub`.
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoteFault::PublicKey) };
        let key = STANDARD.decode(key).map_err(|_| NoteFault::PublicKey)?;
        let key = key.split_first().filter(|(kind, _)| **kind == KIND_ED25519).and_then(|(_, key)| key.try_into().ok());
        let public = Self { name: name.to_owned(), key: key.ok_or(NoteFault::PublicKey)? };
        if is_name(name) && hex(&public.id()) == id { Ok(public) } else { Err(NoteFault::PublicKey) }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The note form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut key = vec![KIND_ED25519];
        key.extend_from_slice(&self.key);
        format!("{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }

    /// Opens a signed checkpoint. Signatures by other keys are passed over; one by this key must hold.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteFault> {
        let (text, signatures) = split_note(note)?;
        let checkpoint = Checkpoint::parse(&text).ok_or(NoteFault::Form)?;
        self.verify(&text, signatures)?;
        if checkpoint.origin == self.name { Ok(checkpoint) } else { Err(NoteFault::Origin(checkpoint.origin)) }
    }

    /// Opens a signed note of any text.
    pub fn open_text(&self, note: &str) -> Result<String, NoteFault> {
        let (text, signatures) = split_note(note)?;
        self.verify(&text, signatures)?;
        Ok(text)
    }

    fn verify(&self, text: &str, signatures: &str) -> Result<(), NoteFault> {
        let lines = signatures.strip_suffix('\n').ok_or(NoteFault::Form)?;
        let mut ours = None;
        for line in lines.split('\n') {
            let (name, value) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(NoteFault::Form)?;
            let value = STANDARD.decode(value).map_err(|_| NoteFault::Form)?;
            let (id, signature) = value.split_at_checked(4).ok_or(NoteFault::Form)?;
            if name == self.name && id == self.id() && ours.is_none() {
                ours = Some(signature.to_vec());
            }
        }
        let signature = ours.ok_or(NoteFault::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, self.key).verify(text.as_bytes(), &signature).map_err(|_| NoteFault::Signature)
    }

    /// The first four bytes of SHA-256(name, line feed, kind, key).
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut bytes = self.name.clone().into_bytes();
        bytes.extend_from_slice(&[b'\n', KIND_ED25519]);
        bytes.extend_from_slice(&self.key);
        let [a, b, c, d, ..] = sha256(&bytes);
        [a, b, c, d]
    }
}

/// The text that is signed, and the signatures.
fn split_note(note: &str) -> Result<(String, &str), NoteFault> {
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteFault::Form)?;
    let text = format!("{text}\n");
    if text.chars().any(|letter| letter.is_control() && letter != '\n') { Err(NoteFault::Form) } else { Ok((text, signatures)) }
}

/// Splits a file of notes, each followed by an empty line. What follows the last whole note comes second: nothing, or a note
/// that was torn by a crash.
#[must_use]
pub fn split_notes(file: &str) -> (Vec<&str>, &str) {
    let mut notes = Vec::new();
    let mut rest = file;
    loop {
        // A note holds one empty line inside; the next one ends it.
        let Some(inner) = rest.find("\n\n") else { return (notes, rest) };
        let after_text = rest.get(inner + 2..).unwrap_or_default();
        let Some(end) = after_text.find("\n\n") else { return (notes, rest) };
        let (note, after) = rest.split_at_checked(inner + 2 + end + 1).unwrap_or((rest, ""));
        notes.push(note);
        rest = after.strip_prefix('\n').unwrap_or(after);
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '+')
}

/// The signature type of Ed25519 in signed notes.
const KIND_ED25519: u8 = 1;
