//! Hostile text made harmless where it is shown.
//!
//! Stored bytes are kept exactly; an attacker chooses some of them. Printed as they are they could move a terminal's cursor or
//! change its title (CWE-150), forge a line of a report (CWE-117), reorder what is read (bidirectional controls), hide
//! (zero-width characters) or run in a spreadsheet (formula injection). Everything a person sees goes through here, JSON
//! too, which stays the same value.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `s` with every character that acts instead of being seen replaced by a visible escape: `\n`, `\r`, `\t`, or `\u{1b}`.
///
/// These are the C0 and C1 controls, DEL, the line and paragraph separators, the zero-width and other invisible format
/// characters, the bidirectional controls, interlinear annotation marks and tags. A backslash is left alone, so the result is
/// for eyes and cannot be turned back; exact text comes out of JSON.
///
/// # Cost
/// Clean text is borrowed. Otherwise one allocation, more if much is escaped.
#[must_use]
pub fn escape_terminal(s: &str) -> Cow<'_, str> {
    let harmless = s.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if harmless || !s.contains(acts) {
        return Cow::Borrowed(s);
    }
    let mut shown = String::with_capacity(s.len() + 16);
    for character in s.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if acts(character) => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// JSON in which every character that acts instead of being seen is written as `\uXXXX`: another spelling of the same value.
///
/// Line feeds stay, which are white space of JSON's own: within a string they are escaped already.
///
/// # Cost
/// JSON of plain ASCII is given back after one pass at the speed of memory. Otherwise one pass by characters, and a copy if something acts.
#[must_use]
pub fn safe_json(json: Vec<u8>) -> Vec<u8> {
    let is_plain = |chunk: &[u8]| chunk.iter().fold(true, |plain, byte| plain & (matches!(byte, 0x20..=0x7e) | (*byte == b'\n')));
    if json.chunks(64).all(is_plain) {
        return json;
    }
    respelt(&json).unwrap_or(json)
}

/// `None`: it is safe as it is.
fn respelt(json: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(json);
    let mut safe = Vec::new();
    let mut copied = 0;
    for (at, character) in text.char_indices().filter(|(_, character)| *character != '\n' && acts(*character)) {
        safe.extend_from_slice(text.get(copied..at).unwrap_or_default().as_bytes());
        for unit in character.encode_utf16(&mut [0; 2]) {
            safe.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        }
        copied = at + character.len_utf8();
    }
    if copied == 0 && matches!(text, Cow::Borrowed(_)) {
        return None;
    }
    safe.extend_from_slice(text.get(copied..).unwrap_or_default().as_bytes());
    Some(safe)
}

/// Whether a character acts on the reader's screen instead of being seen on it.
const fn acts(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' // C0, DEL, C1
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' // bidirectional marks, embeddings, overrides
        | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{feff}' // zero width
        | '\u{2028}' | '\u{2029}' // line and paragraph separator
        | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, bidirectional isolates, deprecated format characters
        | '\u{fff9}'..='\u{fffb}' // interlinear annotation
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

/// Appends `s` as one field of a CSV record: quoted where RFC 4180 asks for it, and harmless in a spreadsheet.
///
/// A field that begins with `=`, `+`, `-`, `@` (full-width forms too), tab, CR or LF would be taken as a formula; it gets a
/// leading `'`. Text that begins with `-` is therefore not byte-equal to what is stored: CSV is for spreadsheets, JSON and Parquet
/// are for programs.
pub fn csv_field(s: &str, out: &mut String) {
    let formula = s.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let quoted = s.contains(['"', ',', '\r', '\n']);
    out.reserve(s.len() + 3);
    if quoted {
        out.push('"');
    }
    if formula {
        out.push('\'');
    }
    if quoted {
        for (index, piece) in s.split('"').enumerate() {
            if index > 0 {
                out.push_str("\"\"");
            }
            out.push_str(piece);
        }
        out.push('"');
    } else {
        out.push_str(s);
    }
}

#[cfg(test)]
mod tests {
    //! What is shown cannot act.

    use super::*;
    use proptest::prelude::*;

    fn field(s: &str) -> String {
        let mut out = String::new();
        csv_field(s, &mut out);
        out
    }

    /// A plain RFC 4180 reader of one record.
    fn read_record(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            let last = fields.last_mut().unwrap();
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    last.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => last.push(character),
            }
        }
        assert!(!quoted, "unclosed quote in {line:?}");
        fields
    }

    #[test]
    fn every_kind_of_acting_character_becomes_visible() {
        for (hostile, shown) in [
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{1b}[2Jgone\u{7}\0", "\\u{1b}[2Jgone\\u{7}\\u{0}"),
            ("\u{7f}\u{80}\u{9b}31m\u{9f}", "\\u{7f}\\u{80}\\u{9b}31m\\u{9f}"),
            ("user\u{202e}gnp.exe", "user\\u{202e}gnp.exe"),
            ("\u{61c}\u{200e}\u{200f}", "\\u{61c}\\u{200e}\\u{200f}"),
            ("\u{202a}\u{2066}\u{2069}", "\\u{202a}\\u{2066}\\u{2069}"),
            ("ad\u{200b}min\u{200d}\u{2060}\u{feff}", "ad\\u{200b}min\\u{200d}\\u{2060}\\u{feff}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{e0000}\u{e0041}\u{e007f}", "\\u{e0000}\\u{e0041}\\u{e007f}"),
        ] {
            assert_eq!(escape_terminal(hostile), shown);
        }
    }

    #[test]
    fn clean_text_is_borrowed() {
        for clean in ["", "plain ~ text", "C:\\new", "Zoë 東京 🦀", "\u{a0}\u{e000}\u{10ffff}\u{e0080}\u{202f}\u{2027}"] {
            assert!(matches!(escape_terminal(clean), Cow::Borrowed(same) if same == clean));
        }
    }

    #[test]
    fn json_made_safe_keeps_its_line_feeds_and_what_is_no_text_is_replaced() {
        let safe = |json: &[u8]| String::from_utf8(safe_json(json.to_vec())).unwrap();
        assert_eq!(
            safe("[\n  \"\u{202e}gnp\u{9b}31m\u{7f}\u{e0041}\"\n]".as_bytes()),
            "[\n  \"\\u202egnp\\u009b31m\\u007f\\udb40\\udc41\"\n]"
        );
        for same in ["", "{}", "[\"Zoë 東京 🦀\"]", "{\"a\":\n1}"] {
            assert_eq!(safe(same.as_bytes()), same);
        }
        // Only a damaged record has it.
        assert_eq!(safe(b"\"\xff\x1b\""), "\"\u{fffd}\\u001b\"");
    }

    #[test]
    fn spreadsheets_see_no_formula() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("\n=x", "\"'\n=x\""),
            ("＝1", "'＝1"),
            ("=HYPERLINK(\"a\",\"b\")", "\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(field(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn json_made_safe_is_the_same_value(texts in prop::collection::vec("[a-c\u{7f}-\u{a0}é東\u{200a}-\u{2070}\u{feff}🦀\u{e0001}]{0,90}", 0..4)) {
            let json = serde_json::to_string(&texts).unwrap();
            let safe = String::from_utf8(safe_json(json.clone().into_bytes())).unwrap();
            prop_assert!(!safe.chars().any(acts));
            prop_assert_eq!(&serde_json::from_str::<Vec<String>>(&safe).unwrap(), &texts);
            if !json.chars().any(acts) {
                prop_assert_eq!(safe, json);
            }
        }

        #[test]
        fn nothing_that_acts_is_ever_shown(s in any::<String>()) {
            let shown = escape_terminal(&s);
            prop_assert!(!shown.chars().any(|c| c.is_control() || acts(c)));
            let untouched: String = s.chars().filter(|c| !acts(*c)).collect();
            if untouched == s {
                prop_assert_eq!(&*shown, &s);
            }
        }

        #[test]
        fn csv_reads_back(fields in prop::collection::vec("[a\"',\r\n\t=+@é-]{0,8}", 1..5)) {
            let mut line = String::new();
            for (index, text) in fields.iter().enumerate() {
                if index > 0 {
                    line.push(',');
                }
                csv_field(text, &mut line);
            }
            let read = read_record(&line);
            prop_assert_eq!(read.len(), fields.len());
            for (read, text) in read.iter().zip(&fields) {
                prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
                prop_assert_eq!(read.strip_prefix('\'').filter(|rest| rest == text).unwrap_or(read), text);
            }
        }
    }
}
