//! Tables for eyes: no borders, so that they can be grepped and pasted; every cell escaped.

use comfy_table::{CellAlignment, ContentArrangement, presets};
use indelible::text::escape_terminal;

/// Rows under headers, or names beside values.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
    rows: usize,
}

impl Table {
    /// A table whose columns have these names.
    pub(crate) fn new<'h>(headers: impl IntoIterator<Item = &'h str>) -> Self {
        let mut table = Self::pairs();
        table.inner.set_header(headers.into_iter().map(|header| escape_terminal(header).to_uppercase()));
        table
    }

    /// A table without headers: names on the left, values on the right.
    pub(crate) fn pairs() -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(presets::NOTHING);
        Self { inner, rows: 0 }
    }

    /// Adds a row; whatever its text would do to a terminal becomes visible instead.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        self.inner.add_row(cells.into_iter().map(|cell| escape_terminal(cell.as_ref()).into_owned()));
        self.rows += 1;
        self
    }

    /// Adds name and value.
    pub(crate) fn pair(&mut self, name: &str, value: impl AsRef<str>) -> &mut Self {
        self.row([name, value.as_ref()])
    }

    /// The end of a chain of rows, where a statement is wanted.
    pub(crate) const fn end(&self) {}

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// The lines. `width`: columns of the terminal; without one, nothing is wrapped. `numbers`: columns that stand to the right.
    pub(crate) fn show(mut self, width: Option<u16>, numbers: &[usize]) -> String {
        match width {
            Some(width) => {
                self.inner.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(WIDTH_MIN));
            }
            None => {
                self.inner.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for (at, column) in self.inner.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if numbers.contains(&at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        for line in self.inner.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Narrower terminals get wrapped by themselves.
const WIDTH_MIN: u16 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_and_harmless() {
        let mut table = Table::new(["name", "count"]);
        table.row(["a\u{1b}[2J\nb", "7"]).row(["longer", "1234"]);
        assert_eq!(table.rows(), 2);
        assert_eq!(table.show(None, &[1]), "NAME           COUNT\na\\u{1b}[2J\\nb      7\nlonger          1234\n");
    }

    #[test]
    fn a_terminal_wraps_and_keeps_columns() {
        let mut table = Table::pairs();
        table.pair("text", "word ".repeat(40));
        let shown = table.show(Some(50), &[]);
        assert!(shown.lines().count() > 3 && shown.lines().all(|line| line.len() <= 50), "{shown}");
    }
}
