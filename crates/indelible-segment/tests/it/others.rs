//! What other readers of Parquet believe and ours does not need is what a segment's writer puts there, or it is found.
//!
//! Else somebody could keep every record, and with them every proof, and show other rows to whoever opens the file with something else.

use std::ops::ControlFlow;

use indelible_format::Draft;
use indelible_segment::{Column, Segment, SegmentError};

use crate::forge::{self, DATA_OFFSET, DICTIONARY_OFFSET, GROUPS, Struct, Value, of_column};
use crate::support::{event, mixed, write};

/// What is said of a file: why it cannot be read, or what is found when it is checked.
fn said_of(file: Vec<u8>) -> Vec<String> {
    let checked =
        Segment::open(file).and_then(|segment| segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())));
    match checked {
        Ok(checked) => {
            let lies = checked.lies.map(|lies| format!("{lies:?}"));
            checked.differences.iter().map(ToString::to_string).chain(lies).collect()
        }
        Err(SegmentError::Damaged { what, .. } | SegmentError::Foreign(what)) => vec![what.to_owned()],
        Err(error) => panic!("{error}"),
    }
}

fn assert_found(file: Vec<u8>, what: &str, lie: &str) {
    let said = said_of(file);
    assert!(said.iter().any(|said| said.contains(what)), "{lie}: {said:?}");
}

fn good() -> Vec<u8> {
    let draft = Draft::new("data.read").actor("mallory").actor_name("Mallory").session("s-17").target("repo", "secrets");
    let records: Vec<Vec<u8>> =
        (0i64..700).map(|nth| event(&draft.clone().detail("n", nth), 1_000 + nth, nth.cast_unsigned())).collect();
    write(512, &records).0.to_vec()
}

const fn number(column: Column) -> usize {
    column as usize
}

#[test]
fn nothing_is_found_where_nothing_was_changed() {
    // Of which hardly any is there twice: their dictionary is given up on the way.
    let sessions: Vec<String> = (0..20_000u64).map(|nth| format!("s-{:016x}", nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let sessions: Vec<Vec<u8>> =
        (0i64..).zip(&sessions).map(|(nth, session)| event(&Draft::new("a.b").session(session), nth, 1)).collect();
    for file in [good(), write(3, &mixed(12_000, 31)).0.to_vec(), write(0, &[]).0.to_vec(), write(0, &sessions).0.to_vec()] {
        assert_eq!(said_of(file.clone()), [""; 0]);
        let (footer, _) = forge::footer(&file).unwrap();
        assert_eq!(forge::with_footer(&file, &[], &footer), file);
    }
}

/// Pages written anew where they were are no lie, however much moves: what the tests below find is what they change.
#[test]
fn a_column_put_in_its_own_place_is_the_same_file() {
    let file = good();
    let (footer, _) = forge::footer(&file).unwrap();
    let pages = forge::pages(&file, &footer, number(Column::Details));
    let places = forge::page_index(&file, &footer, number(Column::Details)).unwrap();
    let rows = (0i16..).map_while(|nth| places.number(&[1, nth, 3]));
    let data: Vec<_> = rows.zip(&pages).map(|(row, (_, header, body))| (row, forge::page(header, &file[body.clone()]))).collect();
    let same = forge::with_column(&file, number(Column::Details), None, &data).unwrap();
    assert_eq!(said_of(same), [""; 0]);
}

/// Other readers begin where the footer says that the pages begin, and go from page to page; ours asked the page index.
#[test]
fn a_forged_page_where_other_readers_begin_is_found() {
    let file = good();
    let (footer, start) = forge::footer(&file).unwrap();
    let column = number(Column::Details);
    let pages = forge::pages(&file, &footer, column);
    let (first, header, body) = pages.first().unwrap().clone();
    let end = pages.last().unwrap().2.end;
    let forged = forge::page(&header, &file[body.clone()]);
    let real = &file[first..end];
    let index = forge::page_index(&file, &footer, column).unwrap();
    let index_from = |to: usize| {
        let mut index = index.clone();
        for nth in 0..i16::try_from(pages.len()).unwrap() {
            let at = index.number(&[1, nth, 1]).unwrap() - i64::try_from(first).unwrap() + i64::try_from(to).unwrap();
            index.put(&[1, nth, 1], Value::i64(at));
        }
        index.bytes()
    };
    let own = |member| [GROUPS, 0, 1, i16::try_from(column).unwrap(), member];
    let place = |at: usize| Value::i64(i64::try_from(at).unwrap());

    // Behind everything else: first the forged page, then the real ones.
    let inserted = [forged.as_slice(), real, &index_from(start + forged.len())].concat();
    let mut new = footer.clone();
    new.put(&of_column(column, DATA_OFFSET), place(start));
    new.put(&of_column(column, 7), place(forged.len() + real.len()));
    new.put(&own(4), place(start + forged.len() + real.len()));
    let total = footer.number(&[GROUPS, 0, 6]).unwrap() + i64::try_from(forged.len()).unwrap();
    new.put(&[GROUPS, 0, 6], Value::i64(total));
    assert_found(forge::with_footer(&file, &inserted, &new), "one right behind the other", "behind everything");

    // In the place of the real ones, which stand where only the page index leads.
    let inserted = [real, &index_from(start)].concat();
    let mut new = footer.clone();
    new.put(&own(4), place(start + real.len()));
    assert_found(forge::with_footer(&file, &inserted, &new), "page indexes do not fit", "in their place");

    // In front of the real ones, as if it were a dictionary.
    let rows = (0i16..).map_while(|nth| index.number(&[1, nth, 3]));
    let data: Vec<_> = rows.zip(&pages).map(|(row, (at, _, body))| (row, file[*at..body.end].to_vec())).collect();
    let mut moved = forge::with_column(&file, column, Some(&forged), &data).unwrap();
    let (mut new, _) = forge::footer(&moved).unwrap();
    new.put(&of_column(column, DICTIONARY_OFFSET), place(first));
    moved = forge::with_footer(&moved, &[], &new);
    assert_found(moved, "where its dictionary is", "as a dictionary");
    // Behind them.
    let mut data = data;
    data.last_mut().unwrap().1.extend(&forged);
    assert_found(forge::with_column(&file, column, None, &data).unwrap(), "a page was changed", "behind them");
}

#[test]
fn what_a_footer_says_beside_a_segments_is_found() {
    let file = good();
    let (footer, _) = forge::footer(&file).unwrap();
    let entry = |key: &str| Value::Struct(Struct(vec![(1, Value::text(key)), (2, Value::text("/////w=="))]));
    let with_entry = |key: &str| {
        let Some(Value::List(kind, mut entries)) = footer.find(&[5]).cloned() else { unreachable!() };
        entries.push(entry(key));
        Value::List(kind, entries)
    };
    let details = |member| of_column(number(Column::Details), member).to_vec();
    let time = |member: i16| [&of_column(number(Column::Time), 12)[..], &[member]].concat();
    let nodes: Vec<String> = (0i16..)
        .map_while(|nth| footer.find(&[2, nth, 4]).cloned())
        .map(|name| if let Value::Bytes(name) = name { String::from_utf8(name).unwrap() } else { String::new() })
        .collect();
    let node = |name: &str, member| vec![2, i16::try_from(nodes.iter().position(|node| node == name).unwrap()).unwrap(), member];
    let none = || Value::Struct(Struct::default());
    let millis =
        Struct(vec![(8, Value::Struct(Struct(vec![(1, Value::Bool(true)), (2, Value::Struct(Struct(vec![(1, none())])))])))]);
    let lies: Vec<(&str, Vec<i16>, Value)> = vec![
        ("a bloom filter that has nothing", details(14), Value::i64(4)),
        ("encoding statistics", details(13), Value::List(12, Vec::new())),
        ("size statistics", details(16), none()),
        ("keys of a column", details(8), Value::List(12, vec![entry("a")])),
        ("the path of another column", details(3), Value::List(8, vec![Value::text("session")])),
        ("a greatest value as it was said long ago", time(1), Value::Bytes(vec![0; 8])),
        ("a least value as it was said long ago", time(2), Value::Bytes(vec![0; 8])),
        ("a number of distinct values", time(4), Value::i64(1)),
        ("bounds that are said to be cut", time(7), Value::Bool(false)),
        ("a sort order", vec![GROUPS, 0, 4], Value::List(12, Vec::new())),
        ("another place of the row group", vec![GROUPS, 0, 5], Value::i64(400)),
        ("another size of the row group", vec![GROUPS, 0, 2], Value::i64(400)),
        ("the number of the row group", vec![GROUPS, 0, 7], Value::Int(4, 0)),
        ("columns as Arrow has them", vec![5], with_entry("ARROW:schema")),
        ("an index as pandas has it", vec![5], with_entry("pandas")),
        ("a key that stands twice", vec![5], with_entry("indelible.version")),
        ("another writer, which had bugs", vec![6], Value::text("parquet-mr version 1.8.0")),
        ("no order of values", vec![7], Value::List(12, Vec::new())),
        ("encryption", vec![8], none()),
        ("times in milliseconds", node("time", 10), Value::Struct(millis)),
        ("positions that are signed", node("seq", 6), Value::i32(10)),
        ("another number of a column", node("details", 9), Value::i32(3)),
        ("another name of the root", vec![2, 0, 4], Value::text("schema")),
    ];
    for (lie, path, value) in lies {
        let mut new = footer.clone();
        new.put(&path, value);
        assert_ne!(new, footer, "{lie}");
        assert_found(forge::with_footer(&file, &[], &new), "its footer says more", lie);
    }
    // What stands twice, longer than it must be, or behind the end, is not what everybody reads.
    let mut new = footer.clone();
    new.0.push((7, Value::List(12, Vec::new())));
    assert_found(forge::with_footer(&file, &[], &new), "its footer says more", "a member twice");
    new.0.pop();
    new.0.push((9, Value::Bytes(Vec::new())));
    assert_found(forge::with_footer(&file, &[], &new), "its footer says more", "a member that there is not");
}

#[test]
fn counts_sizes_and_encodings_of_a_column_that_are_false_are_found() {
    let file = good();
    let (footer, _) = forge::footer(&file).unwrap();
    let column = number(Column::Details);
    let encodings = Value::List(5, [3, 0, 8].map(Value::i32).to_vec());
    let nulls = [&of_column(column, 12)[..], &[3]].concat();
    for (lie, path, value, what) in [
        ("number of values", of_column(column, 5).to_vec(), Value::i64(699), "values or nulls"),
        ("number of nulls", nulls, Value::i64(1), "values or nulls"),
        ("encodings", of_column(column, 2).to_vec(), encodings, "the encodings or the sizes"),
    ] {
        let mut new = footer.clone();
        new.put(&path, value);
        assert_found(forge::with_footer(&file, &[], &new), what, lie);
    }
    // With the sum of all columns made right.
    let mut new = footer.clone();
    for path in [&of_column(column, 6)[..], &[GROUPS, 0, 2]] {
        new.put(path, Value::i64(footer.number(path).unwrap() + 1));
    }
    assert_found(forge::with_footer(&file, &[], &new), "the encodings or the sizes", "size");
}

/// Who relies on the order of pages looks for a value as in a phone book.
#[test]
fn a_page_index_that_says_more_is_found() {
    let file = good();
    let (footer, start) = forge::footer(&file).unwrap();
    let own = |member| [GROUPS, 0, 1, i16::try_from(number(Column::Time)).unwrap(), member];
    let place = |member| usize::try_from(footer.number(&own(member)).unwrap()).unwrap();
    for (at, length, member, value) in
        [(6, 7, 4, Value::i32(1)), (6, 7, 6, Value::List(6, Vec::new())), (4, 5, 2, Value::List(6, vec![Value::i64(9)]))]
    {
        let (mut index, _) = Struct::read(&file[place(at)..place(at) + place(length)]).unwrap();
        index.put(&[member], value);
        let mut new = footer.clone();
        new.put(&own(at), Value::i64(i64::try_from(start).unwrap()));
        new.put(&own(length), Value::i32(i32::try_from(index.bytes().len()).unwrap()));
        assert_found(
            forge::with_footer(&file, &index.bytes(), &new),
            "the page indexes of a column say more",
            &member.to_string(),
        );
    }
}

#[test]
fn a_page_header_that_says_more_is_found() {
    let file = good();
    let (footer, _) = forge::footer(&file).unwrap();
    let column = number(Column::Control);
    let pages = forge::pages(&file, &footer, column);
    let [(_, header, body)] = pages.as_slice() else { unreachable!() };
    let bounds = Struct(vec![(5, Value::text("a")), (6, Value::text("b"))]);
    for (lie, path, value) in
        [("bounds", vec![8, 8], Value::Struct(bounds)), ("a header of another kind", vec![5], Value::Struct(Struct::default()))]
    {
        let mut header = header.clone();
        header.put(&path, value);
        let data = vec![(0, forge::page(&header, &file[body.clone()]))];
        assert_found(forge::with_column(&file, column, None, &data).unwrap(), "a page was changed", lie);
    }
    // One null too few: another reader would count on a value.
    let mut header = header.clone();
    header.put(&[8, 2], Value::i32(699));
    let data = vec![(0, forge::page(&header, &file[body.clone()]))];
    assert_found(forge::with_column(&file, column, None, &data).unwrap(), "a page cannot be decoded", "nulls");
}

/// The page of a column without any value, with another level in every row.
fn with_level(file: &[u8], column: Column, level: u8) -> Vec<u8> {
    let (footer, _) = forge::footer(file).unwrap();
    let pages = forge::pages(file, &footer, number(column));
    let [(_, header, body)] = pages.as_slice() else { unreachable!() };
    let mut body = file.get(body.clone()).unwrap().to_vec();
    *body.last_mut().unwrap() = level;
    forge::with_column(file, number(column), None, &[(0, forge::page(header, &body))]).unwrap()
}

/// Other readers ask one member whether the group is there, and show none of the others if it says no.
#[test]
fn a_group_that_a_member_hides_is_found() {
    let file = good();
    for (column, level, what) in [
        (Column::ActorEmail, 0, "a group is there where none"),
        (Column::OriginHost, 1, "a group is there where none"),
        (Column::ProducerEpoch, 1, "a group is there where none"),
        (Column::Frameworks, 1, "missing in a way"),
        (Column::TargetName, 2, "missing in a way"),
        (Column::ActorEmail, 3, "cannot be decoded"),
    ] {
        assert_found(with_level(&file, column, level), what, column.name());
    }
    assert_eq!(said_of(with_level(&file, Column::ActorEmail, 1)), [""; 0]);
}
