//! The tree of columns as Parquet's footer describes it.

use super::thrift::{Member, Reader, Writer};
use crate::column::Column;

const INT32: i32 = 1;
const INT64: i32 = 2;
const BYTE_ARRAY: i32 = 6;
const FIXED: i32 = 7;

const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;

/// What a node of the tree means besides its physical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    None,
    Text,
    List,
    Uuid,
    /// Unsigned, of this many bits.
    Unsigned(u8),
    /// UTC, nanoseconds.
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    name: &'static str,
    repetition: i32,
    /// Physical type, and the length of a fixed one; a group has none.
    physical: Option<(i32, i32)>,
    children: i32,
    meaning: Meaning,
}

const fn leaf(name: &'static str, physical: i32, meaning: Meaning) -> Node {
    Node { name, repetition: OPTIONAL, physical: Some((physical, 0)), children: 0, meaning }
}

const fn text(name: &'static str) -> Node {
    leaf(name, BYTE_ARRAY, Meaning::Text)
}

const fn number(name: &'static str) -> Node {
    leaf(name, INT64, Meaning::Unsigned(64))
}

const fn time(name: &'static str) -> Node {
    leaf(name, INT64, Meaning::Time)
}

const fn fixed(name: &'static str, bytes: i32, meaning: Meaning) -> Node {
    Node { physical: Some((FIXED, bytes)), ..leaf(name, FIXED, meaning) }
}

const fn group(name: &'static str, children: i32) -> Node {
    Node { name, repetition: OPTIONAL, physical: None, children, meaning: Meaning::None }
}

const fn list(name: &'static str) -> Node {
    Node { meaning: Meaning::List, ..group(name, 1) }
}

const fn required(node: Node) -> Node {
    Node { repetition: REQUIRED, ..node }
}

const REPEATED_LIST: Node = Node { repetition: REPEATED, ..group("list", 1) };

/// Every node, a group before its members.
const NODES: &[Node] = &[
    required(group("segment", 29)),
    required(number("seq")),
    required(leaf("log", INT32, Meaning::Unsigned(32))),
    required(text("kind")),
    fixed("id", 16, Meaning::Uuid),
    text("id_text"),
    time("time"),
    time("received"),
    text("tenant"),
    number("tenant_seq"),
    text("action"),
    text("outcome"),
    text("severity"),
    text("class"),
    text("source"),
    number("weight"),
    group("producer", 3),
    text("id"),
    number("epoch"),
    number("seq"),
    group("trace", 2),
    fixed("trace_id", 16, Meaning::None),
    fixed("span_id", 8, Meaning::None),
    list("frameworks"),
    REPEATED_LIST,
    text("element"),
    group("actor", 4),
    text("id"),
    text("type"),
    text("name"),
    text("email"),
    text("session"),
    group("origin", 3),
    text("ip"),
    text("user_agent"),
    text("host"),
    text("identity_details"),
    list("targets"),
    REPEATED_LIST,
    group("element", 3),
    text("type"),
    text("id"),
    text("name"),
    text("details"),
    group("raw", 2),
    text("media_type"),
    leaf("bytes", BYTE_ARRAY, Meaning::None),
    group("idempotency", 2),
    fixed("key", 16, Meaning::None),
    fixed("statement", 16, Meaning::None),
    text("control"),
    fixed("leaf", 32, Meaning::None),
    leaf("record", BYTE_ARRAY, Meaning::None),
];

/// Writes the tree as member `id` of the footer.
pub(super) fn write(id: i16, footer: &mut Writer<'_>) {
    write_nodes(id, NODES, footer);
}

/// Writes the tree with the columns that are `shown`, and the groups around them.
pub(super) fn write_shown(id: i16, shown: &dyn Fn(Column) -> bool, footer: &mut Writer<'_>) {
    let mut nodes = Vec::new();
    let _kept = take_shown(&mut NODES.iter(), &mut Column::ALL.iter().copied(), shown, &mut nodes);
    write_nodes(id, &nodes, footer);
}

/// Takes the next node and those below it, as far as they lead to a column that is shown; `false` if none does.
fn take_shown(
    nodes: &mut std::slice::Iter<'_, Node>,
    columns: &mut dyn Iterator<Item = Column>,
    shown: &dyn Fn(Column) -> bool,
    out: &mut Vec<Node>,
) -> bool {
    let Some(node) = nodes.next() else { return false };
    let at = out.len();
    out.push(*node);
    let kept = match node.children {
        // Nodes without members are the columns, in their order.
        0 => columns.next().is_some_and(shown),
        members => {
            let members = (0..members).map(|_| i32::from(take_shown(nodes, columns, shown, out))).sum();
            if let Some(group) = out.get_mut(at) {
                group.children = members;
            }
            members > 0
        }
    };
    if !kept {
        out.truncate(at);
    }
    kept
}

fn write_nodes(id: i16, nodes: &[Node], footer: &mut Writer<'_>) {
    footer.groups(id, nodes.iter().enumerate(), |(nth, node), w| {
        if let Some((physical, length)) = node.physical {
            w.i32(1, physical);
            if length > 0 {
                w.i32(2, length);
            }
        }
        // The root is not repeated, optional or anything.
        if nth > 0 {
            w.i32(3, node.repetition);
        }
        w.bytes(4, node.name.as_bytes());
        if node.children > 0 {
            w.i32(5, node.children);
        }
        match node.meaning {
            Meaning::None => {}
            Meaning::Text => {
                w.i32(6, 0);
                w.group(10, |w| w.group(1, |_| {}));
            }
            Meaning::List => {
                w.i32(6, 3);
                w.group(10, |w| w.group(3, |_| {}));
            }
            Meaning::Uuid => w.group(10, |w| w.group(14, |_| {})),
            Meaning::Unsigned(bits) => {
                w.i32(6, if bits == 64 { 14 } else { 13 });
                w.group(10, |w| {
                    w.group(10, |w| {
                        w.byte(1, bits);
                        w.bool(2, false);
                    });
                });
            }
            Meaning::Time => w.group(10, |w| {
                w.group(8, |w| {
                    w.bool(1, true);
                    w.group(2, |w| w.group(3, |_| {}));
                });
            }),
        }
    });
}

/// Whether the tree that stands at `member` has the nodes of ours: their names, physical types and repetitions.
pub(super) fn is_ours(reader: &mut Reader<'_>, member: Member) -> Option<bool> {
    let mut nodes = NODES.iter().enumerate();
    let mut same = true;
    reader.groups(member, |reader| {
        let (mut physical, mut length, mut repetition, mut name, mut children) = (None, 0, REQUIRED, &[][..], 0);
        reader.members(|r, m| {
            match m.id {
                1 => physical = Some(r.i32(m)?),
                2 => length = r.i32(m)?,
                3 => repetition = r.i32(m)?,
                4 => name = r.bytes(m)?,
                5 => children = r.i32(m)?,
                _ => r.skip(m)?,
            }
            Some(())
        })?;
        same &= nodes.next().is_some_and(|(nth, node)| {
            let typed = (node.physical, node.children) == (physical.map(|physical| (physical, length)), children);
            typed && (nth == 0 || node.name.as_bytes() == name && node.repetition == repetition)
        });
        Some(())
    })?;
    Some(same && nodes.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_some_columns_has_their_groups_and_no_others() {
        let names = |shown: &dyn Fn(Column) -> bool| {
            let mut nodes = Vec::new();
            take_shown(&mut NODES.iter(), &mut Column::ALL.iter().copied(), shown, &mut nodes);
            nodes.iter().map(|node| (node.name, node.children)).collect::<Vec<_>>()
        };
        assert_eq!(names(&|_| true), NODES.iter().map(|node| (node.name, node.children)).collect::<Vec<_>>());
        assert_eq!(
            names(&|column| matches!(column, Column::Time | Column::ActorName | Column::TargetId)),
            [("segment", 3), ("time", 0), ("actor", 1), ("name", 0), ("targets", 1), ("list", 1), ("element", 1), ("id", 0)]
        );
        assert!(names(&|_| false).is_empty());
    }
}
