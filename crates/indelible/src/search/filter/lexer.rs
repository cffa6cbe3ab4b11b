//! Cuts a query into words and brackets.
//!
//! A word is a run of plain characters, escaped characters (`\*`) and quoted stretches (`"two words"`), with nothing between
//! them: `details."a.b":x*` is one word. Each character of a word remembers whether it was plain, because only plain ones act as
//! wildcards, dots and colons. White space, brackets and quotes end a plain stretch.

use super::error::FilterError;

/// One character of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph {
    /// `None` stands for an empty pair of quotes, so that `""` is something.
    pub(super) character: Option<char>,
    /// Neither quoted nor escaped: it may act.
    pub(super) plain: bool,
    /// Byte of the query at which it stands.
    pub(super) at: usize,
}

impl Glyph {
    /// Whether it is this character and acts.
    pub(super) fn is(&self, character: char) -> bool {
        self.plain && self.character == Some(character)
    }
}

/// The text that glyphs spell.
pub(super) fn text_of(glyphs: &[Glyph]) -> String {
    glyphs.iter().filter_map(|glyph| glyph.character).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// One of `[ ] { }`.
    Bracket(char),
    /// Anything else; at least one glyph.
    Word(Vec<Glyph>),
}

impl Token {
    /// Whether it is `keyword` in plain letters.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        let Self::Word(glyphs) = self else { return false };
        glyphs.len() == keyword.len() && glyphs.iter().zip(keyword.chars()).all(|(glyph, letter)| glyph.is(letter))
    }
}

/// A token and the bytes of the query it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// All tokens of `query`.
///
/// # Errors
/// A quote that does not end, or a backslash before what needs none.
pub(super) fn lex(query: &str) -> Result<Vec<Lexed>, FilterError> {
    let mut lexer = Lexer { query, characters: query.char_indices().peekable() };
    let mut tokens = Vec::new();
    while let Some((start, character)) = lexer.characters.peek().copied() {
        if character.is_whitespace() {
            lexer.characters.next();
            continue;
        }
        let token = match character {
            '(' => lexer.single(Token::Open),
            ')' => lexer.single(Token::Close),
            '[' | ']' | '{' | '}' => lexer.single(Token::Bracket(character)),
            _ => Token::Word(lexer.word()?),
        };
        tokens.push(Lexed { token, start, end: lexer.offset() });
    }
    Ok(tokens)
}

struct Lexer<'q> {
    query: &'q str,
    characters: std::iter::Peekable<std::str::CharIndices<'q>>,
}

impl Lexer<'_> {
    fn offset(&mut self) -> usize {
        self.characters.peek().map_or(self.query.len(), |(at, _)| *at)
    }

    fn single(&mut self, token: Token) -> Token {
        self.characters.next();
        token
    }

    fn word(&mut self) -> Result<Vec<Glyph>, FilterError> {
        let mut glyphs = Vec::new();
        while let Some((at, character)) = self.characters.peek().copied() {
            if character.is_whitespace() || matches!(character, '(' | ')' | '[' | ']' | '{' | '}') {
                break;
            }
            self.characters.next();
            match character {
                '"' => self.quoted(at, &mut glyphs)?,
                '\\' => glyphs.push(self.escaped(at)?),
                _ => glyphs.push(Glyph { character: Some(character), plain: true, at }),
            }
        }
        Ok(glyphs)
    }

    fn quoted(&mut self, opened: usize, glyphs: &mut Vec<Glyph>) -> Result<(), FilterError> {
        let before = glyphs.len();
        while let Some((at, character)) = self.characters.next() {
            match character {
                '"' => {
                    if glyphs.len() == before {
                        glyphs.push(Glyph { character: None, plain: false, at: opened });
                    }
                    return Ok(());
                }
                '\\' => glyphs.push(self.escaped(at)?),
                _ => glyphs.push(Glyph { character: Some(character), plain: false, at }),
            }
        }
        Err(FilterError::syntax(opened, "this quote does not end").hint("close it with \", and write \\\" for a quote inside"))
    }

    /// The character behind the backslash at `at`. Letters and digits are refused: someone who writes `C:\Windows` means the
    /// backslash, and would otherwise search for something else without being told.
    fn escaped(&mut self, at: usize) -> Result<Glyph, FilterError> {
        match self.characters.next() {
            Some((_, character)) if !character.is_alphanumeric() => Ok(Glyph { character: Some(character), plain: false, at }),
            Some((_, character)) => {
                Err(FilterError::syntax(at, format!("\\{character} is no escape")).hint("write \\\\ for a backslash"))
            }
            None => Err(FilterError::syntax(at, "the query ends in a backslash").hint("write \\\\ for a backslash")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &str) -> Vec<String> {
        let tokens = lex(query).unwrap();
        tokens
            .iter()
            .map(|lexed| match &lexed.token {
                Token::Word(glyphs) => text_of(glyphs),
                Token::Open => "(".to_owned(),
                Token::Close => ")".to_owned(),
                Token::Bracket(bracket) => bracket.to_string(),
            })
            .collect()
    }

    #[test]
    fn words_join_quotes_and_escapes_without_space_between() {
        assert_eq!(words(r#"a:"b c"d  (x)[1 TO 2}"#), ["a:b cd", "(", "x", ")", "[", "1", "TO", "2", "}"]);
        assert_eq!(words(r#"\(a\) "\"\\" "#), ["(a)", "\"\\"]);
        assert_eq!(words(" \t\n\u{a0}"), Vec::<String>::new());
    }

    #[test]
    fn only_plain_characters_act() {
        let tokens = lex(r#"*"*"\*"#).unwrap();
        let Token::Word(glyphs) = &tokens[0].token else { panic!("a word") };
        assert_eq!(glyphs.iter().map(|glyph| glyph.is('*')).collect::<Vec<_>>(), [true, false, false]);
        assert!(lex("AND").unwrap()[0].token.is_keyword("AND"));
        assert!(!lex("\"AND\"").unwrap()[0].token.is_keyword("AND"));
        assert!(!lex("ANDY").unwrap()[0].token.is_keyword("AND"));
    }

    #[test]
    fn places_are_bytes_of_the_query() {
        let tokens = lex("é (\"x\")").unwrap();
        let places: Vec<_> = tokens.iter().map(|lexed| (lexed.start, lexed.end)).collect();
        assert_eq!(places, [(0, 2), (3, 4), (4, 7), (7, 8)]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_where_it_stands() {
        for (query, offset) in [("a \"b", 2), (r"C:\Windows", 2), ("a\\", 1), (r#""\n""#, 1)] {
            assert_eq!(lex(query).unwrap_err().offset, Some(offset), "{query}");
        }
    }
}
