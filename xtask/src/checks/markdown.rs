//! As much of Markdown as the checks need: links, headings, code.

/// A place another file, or a place in one, is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

/// Lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(nth, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((nth + 1, line))
    })
}

/// Targets of `[text](target)`, `src="target"`, `srcset="target"` and `href="target"`.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        for (before, after) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
            for (at, _) in prose.match_indices(before) {
                let rest = prose.get(at + before.len()..).unwrap_or_default();
                if let Some((target, _)) = rest.split_once(after) {
                    let target = target.split(' ').next().unwrap_or_default();
                    found.push(Link { line, target: target.to_owned() });
                }
            }
        }
    }
    found
}

/// What stands between single backticks.
pub(super) fn code_spans(text: &str) -> Vec<Link> {
    let spans = prose(text).flat_map(|(line, prose)| prose.split('`').skip(1).step_by(2).map(move |target| (line, target)));
    spans.map(|(line, target)| Link { line, target: target.to_owned() }).collect()
}

/// The anchors of the headings.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| slug(line.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// The first fenced block of this language.
pub(super) fn fenced_block<'t>(text: &'t str, language: &str) -> Option<&'t str> {
    let open = format!("```{language}\n");
    let start = text.find(&open)? + open.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find("\n```")? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_spans_are_found_outside_code() {
        let text = "see [a](b.md#c) and `x/y`\n```\n[no](no.md)\n```\n<img src=\"pic.svg\">";
        let targets: Vec<String> = links(text).into_iter().map(|link| link.target).collect();
        assert_eq!(targets, ["b.md#c", "pic.svg"]);
        assert_eq!(links(text)[1].line, 5);
        assert_eq!(code_spans(text), [Link { line: 1, target: "x/y".into() }]);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(anchors("# Not yet\ntext\n## `world/`: the *door*"), ["not-yet", "world-the-door"]);
    }

    #[test]
    fn the_block_of_a_language_is_cut_out() {
        assert_eq!(fenced_block("```sh\nls\n```\n```rust\nfn f() {}\n```\n", "rust"), Some("fn f() {}\n"));
        assert_eq!(fenced_block("nothing", "rust"), None);
    }
}
