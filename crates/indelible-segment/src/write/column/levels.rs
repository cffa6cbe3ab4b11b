//! Levels of a page's entries.

use crate::encoding::rle;

/// Which parts of each entry are there: nearly always the same of all.
#[derive(Default)]
pub(super) struct Levels {
    same: u8,
    count: usize,
    each: Vec<u8>,
}

impl Levels {
    #[inline]
    pub(super) fn push(&mut self, level: u8) {
        if self.count == 0 {
            self.same = level;
        }
        if level != self.same || !self.each.is_empty() {
            if self.each.is_empty() {
                self.each.resize(self.count, self.same);
            }
            self.each.push(level);
        }
        self.count += 1;
    }

    pub(super) fn constant(&self) -> Option<u8> {
        self.each.is_empty().then_some(self.same)
    }

    pub(super) fn not(&self, level: u8) -> usize {
        match self.constant() {
            Some(same) => {
                if same == level {
                    0
                } else {
                    self.count
                }
            }
            None => self.each.iter().filter(|found| **found != level).count(),
        }
    }

    pub(super) fn write(&self, width: u32, out: &mut Vec<u8>) {
        match self.constant() {
            Some(same) => rle::put_run(u32::from(same), self.count, width, out),
            None => rle::put_levels(&self.each, width, out),
        }
    }

    pub(super) fn clear(&mut self) {
        self.each.clear();
        self.count = 0;
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Puts `before` entries of one level in front.
    pub(super) fn unfold(&mut self, before: usize, level: u8) {
        let constant = self.constant().filter(|found| *found == level || self.count == 0);
        if constant.is_none() {
            let mut each = vec![level; before];
            match self.constant() {
                Some(found) => each.resize(before + self.count, found),
                None => each.append(&mut self.each),
            }
            self.each = each;
        }
        self.same = level;
        self.count += before;
    }
}
