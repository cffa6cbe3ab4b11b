//! Writes a filter as the query it is.
//!
//! Text is quoted wherever one of its characters could act, and nowhere else; parentheses stand only where precedence needs them.

use std::fmt::{self, Write as _};

use super::fields::{Name, Step};
use super::{Filter, Limit, Pattern, Piece, Test};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_char('*'),
            Self::Text(pattern) => free_text(f, pattern),
            Self::Term(name, test) => term(f, name, test),
            Self::And(filters) if filters.is_empty() => f.write_char('*'),
            Self::And(filters) => joined(f, filters, " "),
            Self::Or(filters) if filters.is_empty() => f.write_str("NOT *"),
            Self::Or(filters) => joined(f, filters, " OR "),
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                enclosed(f, inner)
            }
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, filters: &[Filter], between: &str) -> fmt::Result {
    for (nth, filter) in filters.iter().enumerate() {
        if nth > 0 {
            f.write_str(between)?;
        }
        // AND binds tighter than OR, so only an OR inside an AND needs its parentheses.
        match undressed(filter) {
            filter @ Filter::And(_) if between == " OR " => write!(f, "{filter}")?,
            filter => enclosed(f, filter)?,
        }
    }
    Ok(())
}

fn enclosed(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    match undressed(filter) {
        filter @ (Filter::And(inner) | Filter::Or(inner)) if !inner.is_empty() => write!(f, "({filter})"),
        filter => write!(f, "{filter}"),
    }
}

/// The filter without lists of one around it.
fn undressed(mut filter: &Filter) -> &Filter {
    while let Filter::And(inner) | Filter::Or(inner) = filter
        && let [only] = inner.as_slice()
    {
        filter = only;
    }
    filter
}

fn free_text(f: &mut fmt::Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    let bare = match pattern.as_literal() {
        Some(text) => !matches!(text, "AND" | "OR" | "NOT") && !text.starts_with('-') && !text.contains(':'),
        None => true,
    };
    for piece in pattern.pieces() {
        match piece {
            Piece::Literal(text) if bare && !text.starts_with('-') && !text.contains(':') => word(f, text)?,
            Piece::Literal(text) => quoted(f, text)?,
            Piece::One => f.write_char('?')?,
            Piece::Any => f.write_char('*')?,
        }
    }
    if pattern.pieces().is_empty() { f.write_str("\"\"") } else { Ok(()) }
}

fn term(f: &mut fmt::Formatter<'_>, name: &Name, test: &Test) -> fmt::Result {
    match test {
        Test::Exists => write!(f, "has:{name}"),
        Test::Is(pattern) => {
            write!(f, "{name}:")?;
            for piece in pattern.pieces() {
                match piece {
                    Piece::Literal(text) => word(f, text)?,
                    Piece::One => f.write_char('?')?,
                    Piece::Any => f.write_char('*')?,
                }
            }
            if pattern.pieces().is_empty() { f.write_str("\"\"") } else { Ok(()) }
        }
        Test::Between { low: None, high: None } => write!(f, "has:{name}"),
        Test::Between { low: Some(low), high: None } => {
            write!(f, "{name}:{}", if low.inclusive { ">=" } else { ">" })?;
            word(f, &low.value)
        }
        Test::Between { low: None, high: Some(high) } => {
            write!(f, "{name}:{}", if high.inclusive { "<=" } else { "<" })?;
            word(f, &high.value)
        }
        Test::Between { low: Some(low), high: Some(high) } => {
            write!(f, "{name}:{}", if low.inclusive { '[' } else { '{' })?;
            end(f, low)?;
            f.write_str(" TO ")?;
            end(f, high)?;
            f.write_char(if high.inclusive { ']' } else { '}' })
        }
    }
}

fn end(f: &mut fmt::Formatter<'_>, limit: &Limit) -> fmt::Result {
    if limit.value == "TO" { quoted(f, &limit.value) } else { word(f, &limit.value) }
}

/// `text` bare where nothing in it can act, quoted otherwise.
fn word(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let harmless = |character: char| {
        character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '@' | ':' | '/' | '+' | ',' | '%' | '#' | '$' | ';')
    };
    // Slashes at both ends would read as a regular expression.
    if !text.is_empty() && text.chars().all(harmless) && !text.starts_with('/') { f.write_str(text) } else { quoted(f, text) }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char('"')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field.info().name),
            Self::Unknown(name) => quoted(f, name),
            Self::Details(steps) => {
                f.write_str("details")?;
                for step in steps {
                    f.write_char('.')?;
                    match step {
                        Step::Any => f.write_char('*')?,
                        Step::Key(key) => {
                            let harmless =
                                |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '@' | '/' | '$');
                            if !key.is_empty() && key.chars().all(harmless) { f.write_str(key)? } else { quoted(f, key)? }
                        }
                    }
                }
                Ok(())
            }
        }
    }
}
