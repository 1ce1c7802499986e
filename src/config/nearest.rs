//! "Did you mean": the known word that is nearest to what was written.

/// A mend for a word that is not one of `known`.
pub(super) fn did_you_mean(written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "remove it: nothing can stand here".to_owned(),
        None => format!("use one of {}", list_of(known)),
    }
}

/// The known word with the fewest changes to what was written, if these are few.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let written = plain(written);
    let allowed = (written.chars().count() / 3).clamp(1, 4);
    let distances = known.iter().map(|word| (distance(&written, &plain(word)), *word));
    let close = distances.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word);
    // `sync` is short for `synced`.
    let longer = || known.iter().copied().find(|word| written.len() >= 3 && plain(word).starts_with(&written));
    close.or_else(longer)
}

/// `a`, `b` or `c`, in code quotes.
pub(super) fn list_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Edits from one word to another: insert, delete, replace, or swap two neighbours.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, character) in one.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(character != *wanted);
            let mut cost = replaced.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let neighbour = column.checked_sub(1).and_then(|before| other.get(before).map(|letter| (before, *letter)));
            if let (Some((before, letter)), Some(earlier)) = (neighbour, previous)
                && letter == character
                && earlier == *wanted
            {
                cost = cost.min(at(&before_last, before) + 1);
            }
            current.push(cost);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(character);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_are_one_edit() {
        assert_eq!(distance("gruops", "groups"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn a_word_that_is_far_from_all_is_given_the_list() {
        assert_eq!(did_you_mean("colour", &["url", "bind"]), "use one of `url`, `bind`");
        assert_eq!(did_you_mean("idle-timeout", &["idle_timeout"]), "did you mean `idle_timeout`?");
    }
}
