//! A table shows other readers what a segment shows them, and one that was gone on with is the one that was not interrupted.

use arrow_array::RecordBatch;
use bytes::Bytes;
use indelible_format::Record;
use indelible_segment::{Column, Options, Segment, TableWriter};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::oracle::theirs;
use crate::support::{mixed, write};

/// Events with their positions.
fn events(records: &[Vec<u8>]) -> Vec<(u64, Record<'_>)> {
    let parsed = (0..).zip(records).map(|(seq, record)| (seq, Record::parse(record).unwrap()));
    parsed.filter(|(_, record)| record.head().is_some()).collect()
}

/// A table of these columns; the writer is replaced by a new one behind each row group.
fn table(columns: &[Column], groups: &[&[(u64, Record<'_>)]]) -> Bytes {
    let mut file = TableWriter::BEGINNING.to_vec();
    let (mut told, mut rows) = (Vec::new(), 0);
    for group in groups {
        let mut writer = TableWriter::new(columns, file.len() as u64, Options::default()).unwrap();
        for (seq, record) in *group {
            writer.push(*seq, record, &record.head().unwrap(), None).unwrap();
        }
        rows += writer.rows();
        told.extend(writer.end_group(&mut file).unwrap());
    }
    file.extend(TableWriter::footer(columns, rows, &told, &[("key".into(), "value".into())]));
    file.into()
}

fn batches(file: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1_000).build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn all() -> Vec<Column> {
    TableWriter::columns().collect()
}

#[test]
fn another_reader_finds_in_a_table_what_it_finds_in_a_segment() {
    let records = mixed(9_000, 31);
    let events = events(&records);
    let (front, back) = events.split_at(5_000);
    let file = table(&all(), &[front, &[], back]);
    let metadata =
        ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&file).unwrap();
    let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [5_000, i64::try_from(back.len()).unwrap()], "one without rows is left out");
    let entry = metadata.file_metadata().key_value_metadata().unwrap().first().unwrap();
    assert_eq!((entry.key.as_str(), entry.value.as_deref()), ("key", Some("value")));

    let sealed = batches(write(0, &records).0);
    let of_seq = |seq: u64| (&sealed[usize::try_from(seq / 1_000).unwrap()], usize::try_from(seq % 1_000).unwrap());
    let mut seqs = events.iter().map(|(seq, _)| *seq);
    for batch in batches(file.clone()) {
        for row in 0..batch.num_rows() {
            let (segment, nth) = of_seq(seqs.next().unwrap());
            for column in TableWriter::columns() {
                assert_eq!(theirs(&batch, column, row), theirs(segment, column, nth), "{column:?} of row {row}");
            }
        }
    }
    assert_eq!(seqs.next(), None);
    assert!(Segment::open(file).is_err(), "a table is no segment");
}

#[test]
fn a_table_has_the_columns_that_were_asked_for() {
    let records = mixed(3_000, 32);
    let columns = [Column::TargetId, Column::ActorName, Column::Time];
    for batch in batches(table(&columns, &[&events(&records)])) {
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["time", "actor", "targets"], "in the order of the file, whatever was asked first");
    }
    assert_eq!(Column::all_named("actor").len(), 4);
    assert_eq!(Column::all_named("actor.id"), [Column::ActorId]);
    assert!(Column::all_named("details.n").is_empty());
}

#[test]
fn details_that_are_given_stand_in_place_of_both_parts() {
    let records = mixed(1, 33);
    let record = Record::parse(&records[0]).unwrap();
    let mut writer = TableWriter::new(&all(), 4, Options::default()).unwrap();
    writer.push(7, &record, &record.head().unwrap(), Some(b"{\"merged\":1}")).unwrap();
    let mut file = TableWriter::BEGINNING.to_vec();
    let group = writer.end_group(&mut file).unwrap().unwrap();
    file.extend(TableWriter::footer(&all(), 1, &[group], &[]));
    let batch = batches(file.into()).remove(0);
    assert_eq!(theirs(&batch, Column::Details, 0), [Some(b"{\"merged\":1}".to_vec())]);
    for null in [Column::IdentityDetails, Column::Record] {
        assert_eq!(theirs(&batch, null, 0), [None]);
    }
}

#[test]
fn what_the_columns_do_not_show_is_beside_them() {
    // A later version's member of the identity.
    let mut records = mixed(200, 34);
    let known: Vec<Vec<u8>> = records.clone();
    for record in &mut records {
        let at = record.windows(11).position(|window| window == b"{\"actor\":{\"");
        if let Some(at) = at {
            // Its name is of the same length, so nothing else moves.
            record[at + 2..at + 7].copy_from_slice(b"actoR");
        }
    }
    let changed: Vec<bool> = known.iter().zip(&records).map(|(a, b)| a != b).collect();
    let events = events(&records);
    let mut met = 0;
    let mut rows = events.iter();
    for batch in batches(table(&all(), &[&events])) {
        for row in 0..batch.num_rows() {
            let (seq, record) = rows.next().unwrap();
            let seq = usize::try_from(*seq).unwrap();
            let beside = theirs(&batch, Column::Record, row);
            let expected = changed[seq].then(|| record.bytes().to_vec());
            met += u32::from(expected.is_some());
            assert_eq!(beside, [expected], "{seq}");
        }
    }
    assert!(met > 50, "{met}");
}

#[test]
fn a_table_without_rows_is_one() {
    let file = table(&all(), &[]);
    assert_eq!(ParquetMetaDataReader::new().parse_and_finish(&file).unwrap().num_row_groups(), 0);
}
