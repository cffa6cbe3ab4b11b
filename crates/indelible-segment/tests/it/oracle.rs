//! Another reader of Parquet, which shares no code with ours, reads the same rows.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader as _};
use arrow_schema::DataType;
use bytes::Bytes;
use indelible_segment::{Column, PageCache, Segment, SegmentError};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::support::{mixed, write};

/// The values of a column as the other reader has them: row by row the elements.
pub(crate) fn theirs(batch: &RecordBatch, column: Column, row: usize) -> Vec<Option<Vec<u8>>> {
    let mut array: ArrayRef = match column {
        Column::TargetType | Column::TargetId | Column::TargetName => batch.column_by_name("targets").unwrap().clone(),
        column => batch.column_by_name(column.name().split('.').next().unwrap()).unwrap().clone(),
    };
    let mut rows = vec![row];
    if let DataType::List(_) = array.data_type() {
        let list = array.as_list::<i32>();
        let offset = |nth: usize| usize::try_from(*list.value_offsets().get(nth).unwrap()).unwrap();
        rows = if list.is_null(row) { Vec::new() } else { (offset(row)..offset(row + 1)).collect() };
        array = list.values().clone();
    }
    let mut valid: Vec<bool> = rows.iter().map(|row| array.is_valid(*row)).collect();
    if let Some((_, member)) = column.name().split_once('.')
        && let Some(group) = array.as_struct_opt()
    {
        let inner = group.column_by_name(member).unwrap().clone();
        rows.iter().zip(&mut valid).for_each(|(row, valid)| *valid &= inner.is_valid(*row));
        array = inner;
    }
    let value = |row: usize| match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        DataType::Binary => array.as_binary::<i32>().value(row).to_vec(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row).to_vec(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_le_bytes().to_vec(),
        DataType::UInt32 => u64::from(array.as_primitive::<UInt32Type>().value(row)).to_le_bytes().to_vec(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_le_bytes().to_vec(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_le_bytes().to_vec(),
        other => panic!("{other}"),
    };
    rows.into_iter().zip(valid).map(|(row, valid)| valid.then(|| value(row))).collect()
}

#[test]
fn another_reader_reads_the_same_values() {
    let records = mixed(31_000, 11);
    let (bytes, _) = write(0, &records);
    let segment = Segment::open(bytes.clone()).unwrap();
    let cache = PageCache::new(64 << 20);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().with_batch_size(1_000).build().unwrap();
    let mut first = 0u32;
    for batch in reader {
        let batch = batch.unwrap();
        for column in Column::ALL.iter().copied() {
            for nth in 0..batch.num_rows() {
                let row = first + u32::try_from(nth).unwrap();
                let page = segment.page(column, row, &cache).unwrap();
                let ours: Vec<_> = page
                    .elements(row)
                    .map(|element| {
                        if column.is_number() {
                            page.number(row).map(|number| number.to_le_bytes().to_vec())
                        } else {
                            page.element_bytes(element).map(<[u8]>::to_vec)
                        }
                    })
                    .collect();
                assert_eq!(ours, theirs(&batch, column, nth), "{column:?} of row {row}");
            }
        }
        first += u32::try_from(batch.num_rows()).unwrap();
    }
    assert_eq!(first, segment.rows());
}

#[test]
fn pages_of_every_column_begin_at_multiples_of_256_rows() {
    let (bytes, _) = write(100, &mixed(25_000, 12));
    let metadata =
        ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&bytes).unwrap();
    assert_eq!(metadata.num_row_groups(), 1);
    let indexes = metadata.page_index_for_row_group(0);
    let mut pages = 0;
    for column in 0..metadata.row_group(0).num_columns() {
        let locations = indexes.page_locations(column).unwrap();
        assert_eq!(locations[0].first_row_index, 0);
        for page in locations {
            assert_eq!(page.first_row_index % 256, 0, "column {column}");
            pages += 1;
        }
    }
    assert!(pages > 250, "{pages}");
}

/// A column that says the same everywhere costs next to nothing.
#[test]
fn empty_and_constant_columns_have_one_page() {
    let record = crate::support::event(&indelible_format::Draft::new("a.b"), 1, 1);
    let segment = Segment::open(write(0, &vec![record; 20_000]).0).unwrap();
    for column in Column::ALL.iter().copied() {
        let pages = segment.pages(column).unwrap().len();
        let varies = matches!(column, Column::Seq | Column::Id | Column::Time | Column::Received | Column::TenantSeq);
        assert_eq!(pages == 1, !varies, "{column:?} has {pages} pages");
    }
}

#[test]
fn another_file_is_refused_as_foreign() {
    let (bytes, _) = write(0, &mixed(500, 13));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut copy = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut copy, reader.schema(), None).unwrap();
    reader.for_each(|batch| writer.write(&batch.unwrap()).unwrap());
    writer.close().unwrap();
    assert!(matches!(Segment::open(copy), Err(SegmentError::Foreign(_))));
    for other in [&b""[..], b"PAR1", b"not Parquet at all, but longer than that"] {
        assert!(matches!(Segment::open(Bytes::copy_from_slice(other)), Err(SegmentError::Foreign(_))));
    }
    // Here the magic is taken for the length of a footer.
    assert!(matches!(Segment::open(Bytes::from_static(b"PAR1PAR1")), Err(SegmentError::Damaged { .. })));
}
