//! What stands on the command line: words, flags, and options with a number.

/// The arguments that nobody has taken yet.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    rest: Vec<String>,
}

impl Arguments {
    pub(crate) fn from_environment() -> Self {
        Self { rest: std::env::args().skip(1).collect() }
    }

    /// The first argument that is no option.
    pub(crate) fn take_word(&mut self) -> Option<String> {
        let at = self.rest.iter().position(|argument| !argument.starts_with("--"))?;
        Some(self.rest.remove(at))
    }

    /// Whether `flag` is there.
    pub(crate) fn take_flag(&mut self, flag: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|argument| argument != flag);
        self.rest.len() < before
    }

    /// What stands behind `option`.
    pub(crate) fn take_text(&mut self, option: &str) -> Result<Option<String>, String> {
        let Some(at) = self.rest.iter().position(|argument| argument == option) else { return Ok(None) };
        self.rest.remove(at);
        if at == self.rest.len() {
            return Err(format!("{option} needs something behind it"));
        }
        Ok(Some(self.rest.remove(at)))
    }

    /// The number behind `option`; decimal, or hexadecimal behind `0x`.
    pub(crate) fn take_number(&mut self, option: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.take_text(option)? else { return Ok(None) };
        let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
        number.map(Some).map_err(|_| format!("{option} needs a number, not `{text}`"))
    }

    /// Everything that is left, as it stands.
    pub(crate) fn take_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.rest.first() {
            None => Ok(()),
            Some(argument) => Err(format!("`{argument}` is not understood; see `cargo xtask help`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Arguments {
        Arguments { rest: words.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn options_words_and_flags_come_in_any_order() {
        let mut arguments = of("--seconds 5 --long json --seed 0xff");
        assert_eq!(arguments.take_number("--seconds"), Ok(Some(5)));
        assert_eq!(arguments.take_number("--seed"), Ok(Some(255)));
        assert!(arguments.take_flag("--long"));
        assert!(!arguments.take_flag("--long"));
        assert_eq!(arguments.take_word().as_deref(), Some("json"));
        assert_eq!(arguments.finish(), Ok(()));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(of("--runs").take_number("--runs").is_err());
        assert!(of("--runs many").take_number("--runs").is_err());
        assert!(of("--what").finish().is_err());
    }
}
