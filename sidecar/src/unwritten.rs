//! Bytes on their way to the disk, for whoever asks for them meanwhile: a disk that is slow or hangs
//! is not waited for. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The parts that are being written, by their offsets. They do not overlap, and are in memory until
/// they are written in any case.
#[derive(Debug, Default)]
pub struct Unwritten(BTreeMap<u64, Bytes>);

impl Unwritten {
    /// A part is being written.
    pub fn hold(&mut self, offset: u64, bytes: Bytes) {
        self.0.insert(offset, bytes);
    }

    /// The part at `offset` is done with, written or not.
    pub fn release(&mut self, offset: u64) {
        self.0.remove(&offset);
    }

    /// The bytes at `offset` and after it, as far as they are in one part.
    pub fn at(&self, offset: u64) -> Option<Bytes> {
        let (start, bytes) = self.0.range(..=offset).next_back()?;
        let skip = usize::try_from(offset - start).ok()?;
        (skip < bytes.len()).then(|| bytes.slice(skip..))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_there_until_it_is() {
        let mut unwritten = Unwritten::default();
        unwritten.hold(100, Bytes::from_static(b"abc"));
        unwritten.hold(200, Bytes::from_static(b"de"));
        let at = |unwritten: &Unwritten, offset| unwritten.at(offset);
        assert_eq!(at(&unwritten, 100), Some(Bytes::from_static(b"abc")));
        assert_eq!(at(&unwritten, 102), Some(Bytes::from_static(b"c")));
        assert_eq!(at(&unwritten, 201), Some(Bytes::from_static(b"e")));
        for offset in [0, 99, 103, 199, 202] {
            assert_eq!(at(&unwritten, offset), None, "{offset}");
        }
        unwritten.release(100);
        assert_eq!(at(&unwritten, 100), None);
        unwritten.release(200);
        assert!(unwritten.is_empty());
    }
}
