//! Reads a query by recursive descent.
//!
//! ```text
//! query   = any?
//! any     = all ("OR" all)*
//! all     = one ("AND"? one)*
//! one     = ("NOT" | "-") one | "(" any ")" | term
//! term    = name ":" (test | "(" any-of-tests ")") | "has:" name | text | "*"
//! test    = pattern | (">" | ">=" | "<" | "<=") value | ("[" | "{") end "TO" end ("]" | "}")
//! ```
//!
//! Recursion is bounded by [`DEPTH_MAX`], work and memory by [`QUERY_BYTES_MAX`]. Every term is compiled once to check it, so that an
//! error is told where it stands.

use super::error::{FilterError, FilterErrorKind, cut};
use super::fields::Name;
use super::lexer::{self, Glyph, Lexed, Token};
use super::{DEPTH_MAX, Filter, Limit, Pattern, Piece, QUERY_BYTES_MAX, TERMS_MAX, Test, compile};

pub(super) fn parse(query: &str) -> Result<Filter, FilterError> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("the query has {} bytes, the limit is {QUERY_BYTES_MAX}", query.len());
        return Err(FilterError::new(FilterErrorKind::Limit, message).hint("split it into several searches"));
    }
    let mut parser = Parser { tokens: lexer::lex(query)?, at: 0, terms: 0, end: query.len() };
    if parser.tokens.is_empty() {
        return Ok(Filter::All);
    }
    let filter = parser.any(&Scope::Query, 0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(lexed) => {
            Err(FilterError::syntax(lexed.start, "this parenthesis closes nothing").hint("quote it to look for it: \")\""))
        }
    }
}

/// What a word means where it stands.
enum Scope {
    /// A term of its own.
    Query,
    /// The name of a field, inside `has:(…)`.
    Has,
    /// A value, inside `name:(…)`.
    Field(Name),
}

struct Parser {
    tokens: Vec<Lexed>,
    at: usize,
    terms: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Lexed> {
        self.tokens.get(self.at)
    }

    fn peek_keyword(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|lexed| lexed.token.is_keyword(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self) -> Option<Lexed> {
        let lexed = self.tokens.get(self.at).cloned();
        self.at += usize::from(lexed.is_some());
        lexed
    }

    fn any(&mut self, scope: &Scope, depth: usize) -> Result<Filter, FilterError> {
        let mut filters = vec![self.all(scope, depth)?];
        while self.take_keyword("OR") {
            filters.push(self.all(scope, depth)?);
        }
        Ok(Filter::any_of(filters))
    }

    fn all(&mut self, scope: &Scope, depth: usize) -> Result<Filter, FilterError> {
        let mut filters = vec![self.one(scope, depth)?];
        loop {
            let stated = self.take_keyword("AND");
            let over = self.peek().is_none_or(|lexed| lexed.token == Token::Close || lexed.token.is_keyword("OR"));
            if over && !stated {
                return Ok(Filter::all_of(filters));
            }
            filters.push(self.one(scope, depth)?);
        }
    }

    fn one(&mut self, scope: &Scope, depth: usize) -> Result<Filter, FilterError> {
        let Some(Lexed { token, start, end }) = self.take() else {
            return Err(FilterError::syntax(self.end, "the query ends where a term should stand")
                .hint("an operator stands between two terms"));
        };
        if depth > DEPTH_MAX {
            let message = format!("parentheses and negations are nested deeper than {DEPTH_MAX}");
            return Err(FilterError::new(FilterErrorKind::Limit, message).at(start));
        }
        if token.is_keyword("NOT") {
            return Ok(self.one(scope, depth + 1)?.not());
        }
        match token {
            Token::Open => self.parenthesis(scope, start, depth),
            Token::Close => Err(FilterError::syntax(start, "a term should stand before this parenthesis")),
            Token::Bracket(open) => match scope {
                Scope::Field(name) => self.range(name, open, start),
                Scope::Query | Scope::Has => {
                    Err(FilterError::syntax(start, format!("\"{open}\" begins a range, which belongs to a field"))
                        .hint("write seq:[1 TO 5], or quote the bracket to look for it"))
                }
            },
            Token::Word(_) if token.is_keyword("AND") || token.is_keyword("OR") => {
                let message = "an operator stands where a term should";
                Err(FilterError::syntax(start, message).hint("quote the word to look for it: \"AND\""))
            }
            Token::Word(mut glyphs) if glyphs.first().is_some_and(|glyph| glyph.is('-')) => {
                glyphs.remove(0);
                self.negated(scope, glyphs, start, end, depth)
            }
            Token::Word(glyphs) => self.word(scope, &glyphs, start, end, depth),
        }
    }

    /// `-term`: puts the rest of the word back and reads it as a term of its own.
    fn negated(
        &mut self,
        scope: &Scope,
        rest: Vec<Glyph>,
        start: usize,
        end: usize,
        depth: usize,
    ) -> Result<Filter, FilterError> {
        if !rest.is_empty() {
            self.at -= 1;
            if let Some(lexed) = self.tokens.get_mut(self.at) {
                *lexed = Lexed { token: Token::Word(rest), start: start + 1, end };
            }
        } else if self.peek().is_none_or(|next| next.start != end || next.token == Token::Close) {
            return Err(FilterError::syntax(start, "\"-\" negates the term behind it, and there is none")
                .hint("quote it to look for it: \"-\""));
        }
        Ok(self.one(scope, depth + 1)?.not())
    }

    fn parenthesis(&mut self, scope: &Scope, start: usize, depth: usize) -> Result<Filter, FilterError> {
        let inner = self.any(scope, depth + 1)?;
        match self.take() {
            Some(Lexed { token: Token::Close, .. }) => Ok(inner),
            _ => Err(FilterError::syntax(start, "this parenthesis is not closed")),
        }
    }

    fn word(&mut self, scope: &Scope, glyphs: &[Glyph], start: usize, end: usize, depth: usize) -> Result<Filter, FilterError> {
        match scope {
            Scope::Has => {
                self.count(start)?;
                Ok(Filter::Term(Name::from_glyphs(glyphs)?, Test::Exists))
            }
            Scope::Field(name) => self.test(name, glyphs, start),
            Scope::Query => {
                let Some(colon) = glyphs.iter().position(|glyph| glyph.is(':')) else {
                    return self.text(glyphs, start);
                };
                let (name, value) = glyphs.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                let scope = match name {
                    [] => {
                        return Err(FilterError::syntax(start, "a field's name should stand before the colon")
                            .hint("quote it to look for it"));
                    }
                    name if lexer::text_of(name) == "has" => Scope::Has,
                    name => Scope::Field(Name::from_glyphs(name)?),
                };
                match value.first() {
                    Some(first) => self.word(&scope, value, first.at, end, depth),
                    None => self.apart(&scope, name, start, end, depth),
                }
            }
        }
    }

    /// What follows a word that ends in a colon: a range or a group of values, without a space between.
    fn apart(&mut self, scope: &Scope, name: &[Glyph], start: usize, end: usize, depth: usize) -> Result<Filter, FilterError> {
        let joined = self.peek().filter(|next| next.start == end).map(|next| (next.token.clone(), next.start));
        match (joined, scope) {
            (Some((Token::Open, at)), _) => {
                self.at += 1;
                self.parenthesis(scope, at, depth)
            }
            (Some((Token::Bracket(open @ ('[' | '{')), at)), Scope::Field(name)) => {
                self.at += 1;
                self.range(name, open, at)
            }
            _ => {
                let name = cut(&lexer::text_of(name));
                Err(FilterError::syntax(start, format!("\"{name}:\" has no value"))
                    .hint(format!("write the value right behind the colon, or {name}:* for events that have the field")))
            }
        }
    }

    fn text(&mut self, glyphs: &[Glyph], start: usize) -> Result<Filter, FilterError> {
        self.count(start)?;
        if let Some(word) = ["&&", "||"].into_iter().find(|word| plain(glyphs, word)) {
            let instead = if word == "&&" { "AND" } else { "OR" };
            return Err(FilterError::syntax(start, format!("\"{word}\" is no operator here")).hint(format!("write {instead}")));
        }
        refuse_regex(glyphs, start)?;
        let pattern = pattern_of(glyphs);
        if pattern.is_anything() {
            return Ok(Filter::All);
        }
        let filter = Filter::Text(pattern);
        compile::check(&filter).map_err(|error| error.at(start))?;
        Ok(filter)
    }

    fn test(&mut self, name: &Name, glyphs: &[Glyph], start: usize) -> Result<Filter, FilterError> {
        let (sign, rest) = comparison(glyphs);
        if let Some((above, inclusive)) = sign {
            let limit = Some(self.limit(rest, inclusive, start)?);
            let (low, high) = if above { (limit, None) } else { (None, limit) };
            return self.term(name, Test::Between { low, high }, start);
        }
        refuse_regex(glyphs, start)?;
        let pattern = pattern_of(glyphs);
        self.term(name, if pattern.is_anything() { Test::Exists } else { Test::Is(pattern) }, start)
    }

    /// `1 TO 5]`, behind the bracket that opens it.
    fn range(&mut self, name: &Name, open: char, start: usize) -> Result<Filter, FilterError> {
        let shape = || {
            FilterError::syntax(start, "this range is not of the form [low TO high]")
                .hint("an end that is open is written *; { and } leave the end itself out")
        };
        let Some(Lexed { token: Token::Word(low), start: low_at, .. }) = self.take() else { return Err(shape()) };
        if !self.take_keyword("TO") {
            return Err(shape());
        }
        let Some(Lexed { token: Token::Word(high), start: high_at, .. }) = self.take() else { return Err(shape()) };
        let Some(Lexed { token: Token::Bracket(close @ (']' | '}')), .. }) = self.take() else { return Err(shape()) };
        if !matches!(open, '[' | '{') {
            return Err(shape());
        }
        let open_end = |glyphs: &[Glyph]| matches!(glyphs, [only] if only.is('*'));
        let low = if open_end(&low) { None } else { Some(self.limit(&low, open == '[', low_at)?) };
        let high = if open_end(&high) { None } else { Some(self.limit(&high, close == ']', high_at)?) };
        let test = if low.is_none() && high.is_none() { Test::Exists } else { Test::Between { low, high } };
        self.term(name, test, start)
    }

    fn limit(&self, glyphs: &[Glyph], inclusive: bool, start: usize) -> Result<Limit, FilterError> {
        if glyphs.is_empty() {
            return Err(FilterError::syntax(start, "a value should stand behind the comparison")
                .hint("write it without a space: seq:>=100"));
        }
        if let Some(wild) = glyphs.iter().find(|glyph| glyph.is('*') || glyph.is('?')) {
            return Err(FilterError::syntax(wild.at, "a value that is compared has no wildcards")
                .hint("quote it, or compare without >, < or a range"));
        }
        Ok(Limit { value: lexer::text_of(glyphs), inclusive })
    }

    fn term(&mut self, name: &Name, test: Test, start: usize) -> Result<Filter, FilterError> {
        self.count(start)?;
        let filter = Filter::Term(name.clone(), test);
        compile::check(&filter).map_err(|error| error.at(start))?;
        Ok(filter)
    }

    fn count(&mut self, start: usize) -> Result<(), FilterError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            let message = format!("the query has more than {TERMS_MAX} terms");
            return Err(FilterError::new(FilterErrorKind::Limit, message).at(start).hint("split it into several searches"));
        }
        Ok(())
    }
}

/// `>`, `>=`, `<` or `<=` in front of a value, as (above, inclusive), and what is behind it.
fn comparison(glyphs: &[Glyph]) -> (Option<(bool, bool)>, &[Glyph]) {
    let Some((first, rest)) = glyphs.split_first() else { return (None, glyphs) };
    if !first.is('>') && !first.is('<') {
        return (None, glyphs);
    }
    match rest.split_first() {
        Some((equal, rest)) if equal.is('=') => (Some((first.is('>'), true)), rest),
        _ => (Some((first.is('>'), false)), rest),
    }
}

/// Expressions between slashes would be taken as text and find nothing, which looks like an answer.
fn refuse_regex(glyphs: &[Glyph], start: usize) -> Result<(), FilterError> {
    match glyphs {
        [first, .., last] if first.is('/') && last.is('/') => {
            let message = "regular expressions between slashes are not supported";
            let hint =
                format!("use the wildcards * and ?; to look for the text itself, quote it: \"{}\"", cut(&lexer::text_of(glyphs)));
            Err(FilterError::new(FilterErrorKind::Unsupported, message).at(start).hint(hint))
        }
        _ => Ok(()),
    }
}

fn plain(glyphs: &[Glyph], word: &str) -> bool {
    glyphs.len() == word.len() && glyphs.iter().zip(word.chars()).all(|(glyph, letter)| glyph.is(letter))
}

fn pattern_of(glyphs: &[Glyph]) -> Pattern {
    let mut pattern = Pattern::default();
    for glyph in glyphs {
        pattern.push(match glyph.character {
            _ if glyph.is('*') => Piece::Any,
            _ if glyph.is('?') => Piece::One,
            character => Piece::Literal(character.map(String::from).unwrap_or_default()),
        });
    }
    pattern
}
