//! SPDX licence expressions, as far as crates use them: `OR`, `AND`, `WITH`, parentheses, and the old `/` for `OR`.

/// Whether the licences for which `allowed` is true satisfy `expression`; `None` when it cannot be read.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let result = parser.any(DEPTH_MAX)?;
    parser.words.is_empty().then_some(result)
}

const DEPTH_MAX: usize = 16;

struct Parser<'p> {
    words: &'p [&'p str],
    allowed: &'p dyn Fn(&str) -> bool,
}

impl<'p> Parser<'p> {
    fn any(&mut self, depth: usize) -> Option<bool> {
        let mut result = self.all(depth)?;
        while self.take("OR") {
            // Both sides are read even when one is enough.
            result |= self.all(depth)?;
        }
        Some(result)
    }

    fn all(&mut self, depth: usize) -> Option<bool> {
        let mut result = self.one(depth)?;
        while self.take("AND") {
            result &= self.one(depth)?;
        }
        Some(result)
    }

    fn one(&mut self, depth: usize) -> Option<bool> {
        if self.take("(") {
            let result = self.any(depth.checked_sub(1)?)?;
            return self.take(")").then_some(result);
        }
        let id = self.next().filter(|word| !matches!(*word, ")" | "OR" | "AND" | "WITH"))?;
        if self.take("WITH") {
            let exception = self.next()?;
            return Some((self.allowed)(&format!("{id} WITH {exception}")));
        }
        Some((self.allowed)(id))
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.words.first() == Some(&word);
        if there {
            self.next();
        }
        there
    }

    fn next(&mut self) -> Option<&'p str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mit(expression: &str) -> Option<bool> {
        satisfied(expression, &|id| ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].contains(&id))
    }

    #[test]
    fn expressions_are_evaluated() {
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT OR GPL-3.0-only", Some(true)),
            ("MIT/Apache-2.0", Some(true)),
            ("Apache-2.0 / MIT", Some(true)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true)),
            ("GPL-3.0-only AND MIT OR MIT", Some(true)),
            ("MIT AND (GPL-3.0-only OR AGPL-3.0-only)", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0", Some(false)),
        ] {
            assert_eq!(with_mit(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_licence() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "AND MIT", "MIT Apache-2.0", "MIT WITH"] {
            assert_eq!(with_mit(expression), None, "{expression}");
        }
        assert_eq!(with_mit(&format!("{}MIT{}", "(".repeat(99), ")".repeat(99))), None);
    }
}
