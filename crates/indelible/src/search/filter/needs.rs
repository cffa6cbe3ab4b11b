//! What every match of a filter has, in the terms of an index: where none of it is, nothing need be looked at.

use indelible_format::Field;
use indelible_segment::{IndexField, pair};

use super::glob::Glob;
use super::matcher::{HeadText, Leaf, Matcher, Node, TargetText};

/// Terms of which every match has one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need(pub(crate) Vec<(IndexField, Vec<u8>)>);

impl Matcher {
    /// Everything that every match needs.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        gather(self.root(), &mut needs);
        let only = |field: IndexField| {
            let mut terms = needs.iter().filter_map(|need: &Need| match need.0.as_slice() {
                [(of, term)] if *of == field => Some(term.clone()),
                _ => None,
            });
            terms.next()
        };
        // Both together are in fewer places than either.
        if let (Some(tenant), Some(action)) = (only(IndexField::Tenant), only(IndexField::Action)) {
            needs.retain(|need| !matches!(need.0.as_slice(), [(IndexField::Tenant | IndexField::Action, _)]));
            needs.push(Need(vec![(IndexField::TenantAction, pair(&tenant, &action))]));
        }
        needs
    }
}

fn gather(node: &Node, needs: &mut Vec<Need>) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| gather(node, needs)),
        Node::Or(nodes) => {
            let mut terms = Vec::new();
            for node in nodes {
                // One branch without a need, and anything may pass.
                let mut own = Vec::new();
                gather(node, &mut own);
                match own.into_iter().next() {
                    Some(need) => terms.extend(need.0),
                    None => return,
                }
            }
            if !terms.is_empty() {
                needs.push(Need(terms));
            }
        }
        Node::Leaf(leaf) => needs.extend(need(leaf)),
        Node::All | Node::Not(_) => {}
    }
}

fn need(leaf: &Leaf) -> Option<Need> {
    let one = |field: IndexField, glob: &Option<Glob>| Some(Need(vec![(field, glob.as_ref()?.literal()?.to_vec())]));
    match leaf {
        Leaf::Head(HeadText::Action, glob) => one(IndexField::Action, glob),
        Leaf::Head(HeadText::Tenant, glob) => one(IndexField::Tenant, glob),
        Leaf::Head(HeadText::Id, glob) => {
            let text = glob.as_ref()?.literal()?;
            let uuid = uuid(text).map(|uuid| (IndexField::Id, uuid.to_vec()));
            Some(Need(uuid.into_iter().chain([(IndexField::IdText, text.to_vec())]).collect()))
        }
        Leaf::Head(HeadText::Trace, glob) => Some(Need(vec![(IndexField::TraceId, unhex(glob.as_ref()?.literal()?)?)])),
        Leaf::Span(Field::ActorId, glob) => one(IndexField::ActorId, glob),
        Leaf::Span(Field::Session, glob) => one(IndexField::Session, glob),
        // An address can be written in more than one way, but for those of four numbers.
        Leaf::Address { glob, network } => {
            let text = glob.as_ref()?.literal()?;
            let is_one_way = network.is_none() || std::str::from_utf8(text).ok()?.parse::<std::net::Ipv4Addr>().is_ok();
            is_one_way.then(|| Need(vec![(IndexField::OriginIp, text.to_vec())]))
        }
        Leaf::Target(TargetText::Id, glob) => one(IndexField::TargetId, glob),
        Leaf::Target(TargetText::Whole, glob) => {
            let text = glob.as_ref()?.literal()?;
            // `type:id`: the type may have colons, too.
            let behind = (1..text.len()).filter(|at| text.get(at - 1) == Some(&b':')).filter_map(|at| text.get(at..));
            Some(Need(std::iter::once(text).chain(behind).map(|id| (IndexField::TargetId, id.to_vec())).collect()))
        }
        _ => None,
    }
}

/// The bytes of a UUID as events show it.
pub(super) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let dashes = [8, 13, 18, 23];
    let has_form = text.len() == 36 && text.iter().enumerate().all(|(at, byte)| (*byte == b'-') == dashes.contains(&at));
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    has_form.then(|| unhex(&digits)?.try_into().ok())?
}

/// Bytes from lower-case digits.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = digits.chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Filter;

    fn needs(query: &str) -> Vec<Need> {
        query.parse::<Filter>().unwrap().compile(0).unwrap().needs()
    }

    #[test]
    fn what_every_match_has_is_needed_and_nothing_else() {
        let need = |field, term: &str| Need(vec![(field, term.as_bytes().to_vec())]);
        assert_eq!(needs("actor.id:alice"), [need(IndexField::ActorId, "alice")]);
        assert_eq!(
            needs("tenant:acme action:user.login"),
            [Need(vec![(IndexField::TenantAction, pair(b"acme", b"user.login"))])]
        );
        assert_eq!(
            needs("actor.id:alice OR session:s-1"),
            [Need(vec![(IndexField::ActorId, b"alice".to_vec()), (IndexField::Session, b"s-1".to_vec())])]
        );
        assert_eq!(needs("ip:10.0.0.1"), [need(IndexField::OriginIp, "10.0.0.1")]);
        for none in [
            "*",
            "NOT actor.id:alice",
            "actor.id:ali*",
            "actor.id:alice OR severity:high",
            "ip:10.0.0.0/8",
            "ip:2001:db8::1",
            "alice",
        ] {
            assert_eq!(needs(none), [], "{none}");
        }
        let id = needs("id:0198c0de-0000-7000-8000-000000000001");
        assert_eq!(id[0].0[0].0, IndexField::Id);
        assert_eq!(id[0].0[0].1[..4], [0x01, 0x98, 0xc0, 0xde]);
        assert_eq!(id[0].0[1].0, IndexField::IdText);
        assert_eq!(
            needs("target:dataset:ds:1")[0].0.iter().map(|(_, term)| term.as_slice()).collect::<Vec<_>>(),
            [&b"dataset:ds:1"[..], b"ds:1", b"1"]
        );
    }
}
