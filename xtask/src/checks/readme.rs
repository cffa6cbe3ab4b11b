//! The README's code is the code that the gate runs.

use std::fs;

use super::markdown::fenced_block;
use crate::gate::Outcome;
use crate::process::root;

const EXAMPLE: &str = "crates/indelible/examples/embedded.rs";
const BEGIN: &str = "// In the README from here …";
const END: &str = "// … to here.";

pub(crate) fn run() -> Outcome {
    let read = |path: &str| fs::read_to_string(root().join(path)).map_err(|error| format!("could not read {path}: {error}"));
    let (readme, example) = (read("README.md")?, read(EXAMPLE)?);
    let shown = fenced_block(&readme, "rust").ok_or("README.md has no block of Rust")?;
    let tested = between_marks(&example).ok_or_else(|| format!("{EXAMPLE} has lost its marks"))?;
    if shown.trim_end() == tested.trim_end() {
        Ok(format!("{} lines of Rust", shown.lines().count()))
    } else {
        Err(format!("the Rust in README.md is not what {EXAMPLE} has between its marks; it should be:\n{tested}"))
    }
}

/// The lines between the marks, moved to the left margin.
fn between_marks(example: &str) -> Option<String> {
    let lines: Vec<&str> =
        example.lines().skip_while(|line| line.trim() != BEGIN).skip(1).take_while(|line| line.trim() != END).collect();
    if lines.is_empty() || !example.lines().any(|line| line.trim() == END) {
        return None;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let margin = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).min()?;
    Some(lines.iter().map(|line| format!("{}\n", line.get(margin..).unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_lines_move_to_the_margin() {
        let example = format!("fn main() {{\n    {BEGIN}\n    a();\n\n        b();\n    {END}\n}}");
        assert_eq!(between_marks(&example).as_deref(), Some("a();\n\n    b();\n"));
        assert_eq!(between_marks("no marks"), None);
        assert_eq!(between_marks(BEGIN), None);
    }
}
