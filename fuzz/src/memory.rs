//! How much memory may be taken for an input.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Does something in so many bytes of memory more than are taken already. More are refused, which
/// ends the process. No other thread may run meanwhile.
pub(crate) fn within<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    let all = ALLOCATOR.limit();
    let limit = ALLOCATOR.allocated().saturating_add(bytes);
    ALLOCATOR
        .set_limit(limit)
        .expect("no more is taken than now");
    let done = act();
    ALLOCATOR.set_limit(all).expect("more than now");
    done
}
