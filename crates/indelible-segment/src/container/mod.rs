//! Parquet around the pages: its magic, headers of pages, statistics, page indexes and the footer.

pub(crate) mod footer;
pub(crate) mod page_header;
mod schema;
pub(crate) mod table;
pub(crate) mod thrift;
