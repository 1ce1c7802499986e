//! Counts the words of a segment, most of which are the same few: a word that the census knows is found by its term, and its
//! count is added to the census at the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::form::{Census, is_counted};
use crate::audit::search::view::Field;

/// Words of a census by their terms. No more than the census has.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<u32, Word, BuildHasherDefault<AsItIs>>);

/// A word that the census has by its name, and what is to be added to its count.
#[derive(Debug)]
struct Word {
    field: Field,
    value: String,
    more: u64,
}

impl Words {
    /// Counts a word, here or in the census.
    pub(super) fn count(&mut self, term: u32, field: Field, value: &str, census: &mut Census) {
        if !is_counted(field) {
            return;
        }
        match self.0.get_mut(&term) {
            // Two words may be one term; the second is the census's alone.
            Some(word) if word.field == field && word.value == value => word.more += 1,
            Some(_) => census.word(field, value),
            None => {
                census.word(field, value);
                if census.words.get(&field).is_some_and(|words| words.contains_key(value)) {
                    self.0.insert(term, Word { field, value: value.to_owned(), more: 0 });
                }
            }
        }
    }

    /// Hands the counts over.
    pub(super) fn settle(&mut self, census: &mut Census) {
        for word in self.0.values_mut().filter(|word| word.more > 0) {
            *census.words.entry(word.field).or_default().entry(word.value.clone()).or_default() += word.more;
            word.more = 0;
        }
    }
}

/// A term is a hash already. The table wants its high bits too.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, term: u32) {
        self.0 = self.0.rotate_left(5) ^ (u64::from(term) << 32 | u64::from(term));
    }
}
