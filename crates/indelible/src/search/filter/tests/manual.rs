//! The page for users says what is so: every query on it is read, and shown queries mean what is said.

use super::*;
use crate::search::filter::FIELDS;

const PAGE: &str = include_str!("../../../../../../docs/search.md");

#[test]
fn every_query_of_the_manual_parses() {
    let mut count = 0;
    let mut check = |query: &str| {
        count += 1;
        Filter::parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}"))
    };
    for line in PAGE.lines() {
        if let Some(example) = line.strip_prefix("    ") {
            let mut columns = example.split("  ").map(str::trim).filter(|column| !column.is_empty());
            let filter = check(columns.next().unwrap());
            if columns.next() == Some("means") {
                assert_eq!(check(columns.next().unwrap()), filter, "{line}");
            }
        }
    }
    for row in fields_table() {
        // Every other stretch between backticks is code.
        row[3].split('`').skip(1).step_by(2).for_each(|query| drop(check(query)));
    }
    assert!(count > 30, "{count}");
}

#[test]
fn the_manual_names_every_field_and_alias() {
    let named: Vec<&str> = fields_table().iter().flat_map(|row| row[1].split('`').skip(1).step_by(2)).collect();
    for name in
        FIELDS.iter().filter(|field| field.name != "details").flat_map(|field| std::iter::once(&field.name).chain(field.aliases))
    {
        // Plurals and spellings of other tools work, but are not taught.
        if !["frameworks", "producer.id", "trace_id", "span_id"].contains(name) {
            assert!(named.contains(name), "{name}");
        }
    }
}

fn fields_table() -> Vec<Vec<&'static str>> {
    let table = PAGE.split("## Fields").nth(1).unwrap().split("## Details").next().unwrap();
    table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').collect()).collect()
}
