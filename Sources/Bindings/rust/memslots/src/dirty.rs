use crate::error::check;
use crate::{Error, Result};
use memslots_sys as sys;
use std::ops::Range;

/// Which pages of a slot the guest has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyLog {
    first_page: u64,
    words: Vec<u64>,
    count: u64,
}

impl DirtyLog {
    pub(crate) fn read(
        table: sys::memslots_table,
        address_space: u32,
        slot: u32,
        pages: Range<u64>,
        clear: bool,
    ) -> Result<DirtyLog> {
        let page_count = pages.end.saturating_sub(pages.start);
        if page_count == 0 {
            // To the C interface 0 means all pages.
            return Ok(DirtyLog { first_page: pages.start, words: Vec::new(), count: 0 });
        }
        // No slot has more than 2^31 - 1 pages. The library checks the range itself, but the bitmap comes first.
        let words = usize::try_from((page_count - 1) / 64 + 1)
            .ok()
            .filter(|words| *words <= 1 << 25)
            .ok_or_else(|| Error::bad_argument("no slot has that many pages"))?;
        let mut log = DirtyLog { first_page: pages.start, words: vec![0; words], count: 0 };
        // SAFETY: the bitmap is passed with its number of words.
        check(unsafe {
            sys::memslots_dirty_log(
                table,
                address_space,
                slot,
                pages.start,
                page_count,
                clear,
                log.words.as_mut_ptr(),
                words,
                &mut log.count,
            )
        })?;
        Ok(log)
    }

    /// The number of dirty pages.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The bitmap: a bit for each page, the first in the lowest bit of the first word.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The dirty pages, ascending, counted from the slot's beginning.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        let first_page = self.first_page;
        self.words.iter().enumerate().flat_map(move |(index, word)| {
            let page = first_page + index as u64 * 64;
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| page + bit)
        })
    }
}
