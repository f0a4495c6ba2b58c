//! Buffers for reads, used again and again: a new one of this size costs page faults and zeroing,
//! which is a good part of a read from the page cache.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

/// The sizes of buffers, and how many of each are kept when nobody uses them.
const CLASSES: [(usize, usize); 2] = [(64 << 10, 128), (256 << 10, 64)];

/// The buffers of one size that nobody uses now.
type Unused = Arc<Mutex<Vec<Box<[u8]>>>>;

/// The buffers that nobody uses now.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers([Unused; CLASSES.len()]);

/// A buffer; what is in it when it is taken means nothing.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    /// Where it goes back to, and how many may be there.
    home: Option<(Unused, usize)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Buffers {
    /// A buffer of `len` bytes.
    pub(super) fn take(&self, len: usize) -> Buffer {
        let class = CLASSES.iter().position(|&(size, _)| len <= size);
        let Some(class) = class else {
            let bytes = vec![0; len].into_boxed_slice();
            return Buffer {
                bytes,
                len,
                home: None,
            };
        };
        let (size, kept) = CLASSES[class];
        let home = &self.0[class];
        let used = locked(home).pop();
        Buffer {
            bytes: used.unwrap_or_else(|| vec![0; size].into_boxed_slice()),
            len,
            home: Some((Arc::clone(home), kept)),
        }
    }
}

impl Buffer {
    /// Its bytes, to be written.
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Its bytes, to be shared; the buffer goes back when the last share is gone.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((home, kept)) = &self.home {
            let mut home = locked(home);
            if home.len() < *kept {
                home.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_back_when_its_last_share_is_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(10);
        buffer.as_mut().fill(7);
        let bytes = buffer.freeze();
        let share = bytes.slice(3..5);
        drop(bytes);
        assert_eq!((&share[..], locked(&buffers.0[0]).len()), (&[7, 7][..], 0));
        drop(share);
        assert_eq!(locked(&buffers.0[0]).len(), 1);
        // Of the same kind, and only as long as was asked for.
        assert_eq!(buffers.take(64 << 10).as_ref().len(), 64 << 10);
        assert_eq!(buffers.take(1 << 20).as_ref().len(), 1 << 20);
    }

    #[test]
    fn not_many_are_kept() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..1000).map(|_| buffers.take(1)).collect();
        drop(taken);
        assert_eq!(locked(&buffers.0[0]).len(), CLASSES[0].1);
    }
}
