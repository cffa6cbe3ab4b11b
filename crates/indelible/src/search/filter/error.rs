//! What is wrong with a query, where, and what to write instead.

/// Why a query was refused. The message says what is wrong, the hint what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// What sort of fault it is.
    pub kind: FilterErrorKind,
    /// What is wrong, in one line.
    pub message: String,
    /// Byte of the query at which it was noticed; `None` for filters that were built and not parsed.
    pub offset: Option<usize>,
    /// The next step, if there is one to name.
    pub hint: Option<String>,
}

/// The sorts of faults a query can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// It cannot be read: a quote or bracket that does not end, an operator without a term.
    Syntax,
    /// A field that events do not have.
    UnknownField,
    /// A value its field cannot have.
    Value,
    /// It is too long, too deep or has too many terms.
    Limit,
    /// It means something that this version cannot do.
    Unsupported,
}

impl FilterError {
    pub(super) fn new(kind: FilterErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), offset: None, hint: None }
    }

    pub(super) fn syntax(offset: usize, message: impl Into<String>) -> Self {
        Self::new(FilterErrorKind::Syntax, message).at(offset)
    }

    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::new(FilterErrorKind::Value, message)
    }

    /// Says where, unless a deeper layer knew better.
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `text` for use in a message: cut, so that a message stays a line.
pub(super) fn cut(text: &str) -> String {
    const CHARACTERS_MAX: usize = 48;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The words of `choices` that `word` may have been meant to be, nearest first; at most three.
pub(super) fn nearest<'c>(word: &str, choices: impl Iterator<Item = &'c str>) -> Vec<&'c str> {
    const LETTERS_MAX: usize = 48;
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > LETTERS_MAX {
        return Vec::new();
    }
    let allowed = (word.len() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = choices
        .map(|choice| (distance(&word, &choice.chars().collect::<Vec<_>>()), choice))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, choice)| choice).collect()
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let substituted = at(&last, j) + usize::from(from != to);
            let mut best = substituted.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let choices = ["severity", "session", "outcome", "actor.id"];
        let near = |word| nearest(word, choices.into_iter());
        assert_eq!(near("sevrity"), ["severity"]);
        assert_eq!(near("sesison"), ["session"]);
        assert_eq!(near("OUTCOME"), ["outcome"]);
        assert_eq!(near("actor.di"), ["actor.id"]);
        assert!(near("requestParameters").is_empty());
        assert!(near(&"x".repeat(4000)).is_empty());
    }

    #[test]
    fn distance_counts_single_edits() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!((d("", ""), d("abc", "abc"), d("", "ab"), d("ab", "")), (0, 0, 2, 2));
        assert_eq!((d("abc", "abd"), d("abc", "acb"), d("abc", "ab"), d("ab", "xaby")), (1, 1, 1, 2));
    }
}
