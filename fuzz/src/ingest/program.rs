//! Bytes as a sequence of messages. Every sequence of bytes is one.

use viewcache_protocol::{ByteRange, Generation, Validator};

use super::bytes_of::LENGTHS;

/// A message, or what is sent in the place of one. The entity is one of two, the slot one of four
/// transfers, the state one of four of an entity's bytes.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A viewer asks for these bytes of an entity.
    Decide {
        entity: usize,
        slot: usize,
        range: Option<&'static str>,
    },
    /// The origin's answer has come.
    Begin {
        entity: usize,
        slot: usize,
        state: usize,
        range: ByteRange,
        open_ended: bool,
    },
    /// Some of its bytes.
    Chunk {
        entity: usize,
        slot: usize,
        state: usize,
        variant: usize,
        offset: u64,
        length: usize,
    },
    /// No more of them will come.
    End {
        entity: usize,
        slot: usize,
        delivered: Option<ByteRange>,
        outcome: u8,
    },
    /// The entity was changed at the origin.
    Invalidate { entity: usize },
    /// Any path, header values and body.
    Other {
        path: u8,
        header: Vec<u8>,
        body: Vec<u8>,
    },
}

const RANGES: [Option<&str>; 6] = [
    None,
    Some("0-"),
    Some("0-99"),
    Some("-100"),
    Some("65536-131071"),
    Some("149999-"),
];

/// Where cells, blocks and entities end.
const EDGES: [u64; 12] = [
    0, 1, 4095, 4096, 65_535, 65_536, 65_537, 69_999, 70_000, 131_072, 149_999, 150_000,
];

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn offset(&mut self) -> Option<u64> {
        let byte = self.byte()?;
        let edge = EDGES.get(usize::from(byte)).copied();
        Some(edge.unwrap_or_else(|| (u64::from(byte) - EDGES.len() as u64) * 640))
    }

    fn some(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (some, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(some.to_vec())
    }

    fn step(&mut self) -> Option<Step> {
        let kind = self.byte()?;
        let which = self.byte()?;
        let entity = usize::from(which & 1);
        let slot = usize::from(which >> 1 & 3);
        let state = usize::from(which >> 3 & 3);
        let variant = usize::from(which >> 5 & 1);
        Some(match kind % 8 {
            0 => Step::Decide {
                entity,
                slot,
                range: RANGES[usize::from(which >> 3) % RANGES.len()],
            },
            1 => {
                let (start, end) = (self.offset()?, self.offset()?);
                let range = ByteRange::new(start.min(end), start.max(end));
                Step::Begin {
                    entity,
                    slot,
                    state,
                    range: range.unwrap_or(ByteRange::new(0, LENGTHS[state])?),
                    open_ended: which >> 6 == 3,
                }
            }
            2..=4 => Step::Chunk {
                entity,
                slot,
                state,
                variant,
                offset: self.offset()?,
                length: usize::try_from(self.offset()?).ok()?.min(70_000),
            },
            5 => {
                let (start, end) = (self.offset()?, self.offset()?);
                Step::End {
                    entity,
                    slot,
                    delivered: ByteRange::new(start, end),
                    outcome: which >> 6,
                }
            }
            6 => Step::Invalidate { entity },
            _ => Step::Other {
                path: which,
                header: self.some()?,
                body: self.some()?,
            },
        })
    }
}

/// The program of these bytes; no longer than a fuzzer should have to wait for.
pub(super) fn program(data: &[u8]) -> Vec<Step> {
    let mut reader = Reader(data);
    std::iter::from_fn(|| reader.step()).take(48).collect()
}

/// The generation of a state. Without a validator every transfer is one of its own.
pub(super) fn generation(state: usize) -> Generation {
    let validator = match state {
        0 | 3 => Some(Validator::Etag("\"a\"".to_owned())),
        1 => Some(Validator::LastModified(
            "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
        )),
        _ => None,
    };
    Generation {
        validator,
        complete_length: LENGTHS[state],
    }
}
