//! The one set of copies of what is remembered that a VM has, whatever plugin asks.

use std::cell::Cell;

use crate::remembered::Copies;

thread_local! {
    static COPIES: Cell<Copies> = Cell::default();
}

/// Taken out meanwhile, so that nothing can panic over a second borrow.
pub(super) fn with_copies<T>(act: impl FnOnce(&mut Copies) -> T) -> T {
    COPIES.with(|cell| {
        let mut copies = cell.take();
        let result = act(&mut copies);
        cell.set(copies);
        result
    })
}
