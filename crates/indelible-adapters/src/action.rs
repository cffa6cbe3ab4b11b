//! Foreign words as actions: two or more parts of `a-z A-Z 0-9 _ - : /`, joined by dots, at most 128 bytes.

use indelible_format::head::is_action;
use indelible_format::limits::ACTION_BYTES_MAX;

/// What a record is called that says nothing of what was done.
pub(crate) const FALLBACK: &str = "record.import";

/// Room for each of noun and verb, so that both together and the dot always fit.
const PART_BYTES_MAX: usize = (ACTION_BYTES_MAX - 1) / 2;

/// Whether letters keep their case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Keep,
    Lower,
}

/// Appends `text` as one part: runs of characters that a part cannot have become one `filler`, none at either end. Says whether
/// anything was appended.
pub(crate) fn push_part(out: &mut String, text: &str, case: Case, filler: char) -> bool {
    let start = out.len();
    let mut gap = false;
    for character in text.chars() {
        if !is_part_character(character) {
            gap = true;
            continue;
        }
        let filled = gap && out.len() > start;
        if out.len() - start + usize::from(filled) + 1 > PART_BYTES_MAX {
            break;
        }
        if filled {
            out.push(filler);
        }
        gap = false;
        out.push(if case == Case::Lower { character.to_ascii_lowercase() } else { character });
    }
    out.len() > start
}

/// Writes `noun.verb`; whatever of the two is empty becomes `record` or `import`.
pub(crate) fn write_pair(out: &mut String, noun: &str, verb: &str, case: Case) {
    out.clear();
    if !push_part(out, noun, case, '_') {
        out.push_str("record");
    }
    out.push('.');
    if !push_part(out, verb, case, '_') {
        out.push_str("import");
    }
}

/// Writes a name that may already have dots in it; without any, it becomes the verb of `noun`.
pub(crate) fn write_dotted(out: &mut String, noun: &str, name: &str, case: Case) {
    out.clear();
    for part in name.split('.') {
        let before = out.len();
        if before > 0 {
            out.push('.');
        }
        if !push_part(out, part, case, '_') || out.len() > ACTION_BYTES_MAX {
            out.truncate(before);
        }
    }
    if !is_action(out) {
        let verb = std::mem::take(out);
        write_pair(out, noun, &verb, case);
    }
}

/// Puts the fallback in place of what is no action.
pub(crate) fn check(out: &mut String) {
    if !is_action(out) {
        out.clear();
        out.push_str(FALLBACK);
    }
}

const fn is_part_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | ':' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotted(name: &str) -> String {
        let mut out = String::from("left over");
        write_dotted(&mut out, "event", name, Case::Keep);
        assert!(is_action(&out), "{out}");
        out
    }

    #[test]
    fn any_text_becomes_an_action() {
        assert_eq!(dotted("user.session.start"), "user.session.start");
        assert_eq!(dotted("Disable Strong Authentication."), "event.Disable_Strong_Authentication");
        assert_eq!(dotted("..a..b.."), "a.b");
        assert_eq!(dotted("login"), "event.login");
        assert_eq!(dotted("\n\0é"), "event.import");
        assert_eq!(dotted(""), "event.import");
        dotted(&"x".repeat(1000));
        dotted(&"abc.".repeat(1000));
        dotted(&"é x".repeat(1000));
        let mut out = String::new();
        write_pair(&mut out, &"n-".repeat(100), &"ü.".repeat(100), Case::Lower);
        assert!(is_action(&out) && out.ends_with(".import"), "{out}");
    }
}
