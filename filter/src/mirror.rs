//! How a response's body is cut into chunks. It sees sizes and offsets, never bytes: it says
//! which run of a frame to copy into the stream's buffer and what to send.

mod pause;

use viewcache_protocol::ByteRange;

use crate::budget::Lease;
use crate::callout::Answer;
use pause::Pause;

/// One thing to do with the bytes of the current frame or of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Append the frame's `at..at + len` to the buffer, which will need `capacity`.
    Copy {
        /// Where the run begins in the frame.
        at: usize,
        /// Its length.
        len: usize,
        /// The most that the buffer will hold before it is sent.
        capacity: usize,
    },
    /// Drop the buffer's first `len` bytes.
    Forget {
        /// How many.
        len: usize,
    },
    /// Send a chunk.
    Send(Chunk),
}

/// A chunk to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The offset of its first byte in the entity.
    pub offset: u64,
    /// Its length.
    pub len: usize,
    /// Where its bytes are.
    pub source: Source,
}

/// Where a chunk's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the current frame from `at` on: a large frame is read once and never copied about.
    Frame {
        /// Where the chunk begins in the frame.
        at: usize,
    },
    /// All of the buffer, which is empty afterwards.
    Buffer,
}

/// The mirroring of one response.
#[derive(Debug)]
pub struct Mirror {
    /// The bytes that the response promised.
    range: ByteRange,
    /// How many of them have passed, mirrored or not.
    passed: u64,
    /// Whether the body went on after the promised bytes.
    overrun: bool,
    /// How many bytes are in the buffer: those just before the position.
    buffered: usize,
    /// All before this offset is stored already. While the position is before it, the buffer is
    /// empty.
    skip_until: u64,
    /// What is left out after a loss.
    pause: Pause,
    /// How often bytes began to be left out and nobody was told.
    pauses: usize,
    /// The share of the memory; `None` once nothing is mirrored any more.
    lease: Option<Lease>,
}

impl Mirror {
    /// For a response with these bytes. Without a lease it only counts what passes.
    pub fn new(range: ByteRange, lease: Option<Lease>) -> Self {
        Self {
            range,
            passed: 0,
            overrun: false,
            buffered: 0,
            skip_until: 0,
            pause: Pause::default(),
            pauses: 0,
            lease,
        }
    }

    /// Whether more chunks will come.
    pub fn active(&self) -> bool {
        self.lease.is_some()
    }

    /// What has passed to the viewer.
    pub fn delivered(&self) -> Option<ByteRange> {
        ByteRange::from_len(self.range.start(), self.passed)
    }

    /// Whether exactly the promised bytes have passed.
    pub fn complete(&self) -> bool {
        self.passed == self.range.len() && !self.overrun
    }

    /// A frame of `len` bytes passes.
    pub fn frame(&mut self, len: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let promised = self.range.len().saturating_sub(self.passed);
        let len = match usize::try_from(promised) {
            Ok(promised) if promised < len => {
                self.overrun = true;
                promised
            }
            _ => len,
        };
        let mut at = 0;
        while at < len {
            let taken = self.run(at, len.saturating_sub(at), &mut steps);
            at = at.saturating_add(taken);
        }
        if self.overrun {
            self.stop();
        }
        steps
    }

    /// Takes a run from the frame's `left` bytes at `at`; says how long it is, at least 1.
    fn run(&mut self, at: usize, left: usize, steps: &mut Vec<Step>) -> usize {
        let offset = self.position();
        let Some(lease) = &mut self.lease else {
            return self.pass(left);
        };
        if offset < self.skip_until {
            let skipped = usize::try_from(self.skip_until.saturating_sub(offset));
            return self.pass(skipped.map_or(left, |skipped| skipped.min(left)));
        }
        if self.buffered == 0 {
            let paused = usize::try_from(self.pause.left(offset)).unwrap_or(usize::MAX);
            if 0 < paused || !lease.may_send() {
                let left_out = if 0 < paused { paused.min(left) } else { left };
                return self.pass(left_out);
            }
        }
        let capacity = lease.chunk();
        let is_last = |len: usize| offset.saturating_add(len as u64) == self.range.end();
        if self.buffered == 0 && (capacity <= left || is_last(left)) {
            let len = capacity.min(left);
            steps.push(Step::Send(Chunk {
                offset,
                len,
                source: Source::Frame { at },
            }));
            self.pauses = self.pauses.saturating_add(usize::from(lease.sent()));
            return self.pass(len);
        }
        let len = capacity.saturating_sub(self.buffered).min(left);
        steps.push(Step::Copy { at, len, capacity });
        self.buffered = self.buffered.saturating_add(len);
        let full = self.buffered == capacity || is_last(len);
        let taken = self.pass(len);
        if full {
            steps.extend(self.flush());
        }
        taken
    }

    /// The offset of the next byte to pass.
    fn position(&self) -> u64 {
        self.range.start().saturating_add(self.passed)
    }

    fn pass(&mut self, len: usize) -> usize {
        self.passed = self.passed.saturating_add(len as u64);
        len
    }

    /// Sends what is in the buffer, at the end of the body or of the stream.
    pub fn flush(&mut self) -> Option<Step> {
        let lease = self.lease.as_mut().filter(|_| self.buffered > 0)?;
        self.pauses = self.pauses.saturating_add(usize::from(lease.sent()));
        let len = std::mem::take(&mut self.buffered);
        let offset = self.position().saturating_sub(len as u64);
        Some(Step::Send(Chunk {
            offset,
            len,
            source: Source::Buffer,
        }))
    }

    /// The sidecar has answered to `begin`; without one it takes no chunks.
    pub fn begun(&mut self, answer: Answer) -> Option<Step> {
        match answer {
            Answer::Taken { skip_until } => self.skip(skip_until?),
            Answer::Lost | Answer::Stop => {
                self.stop();
                None
            }
        }
    }

    /// The sidecar has answered to a chunk. A lost one leaves a gap, and some of what follows is
    /// left out too; nothing more is sent only when it says so.
    pub fn answered(&mut self, answer: Answer) -> Option<Step> {
        if let Some(lease) = &mut self.lease {
            lease.answered();
        }
        match answer {
            Answer::Taken { skip_until } => {
                self.pause.taken();
                self.skip(skip_until?)
            }
            Answer::Lost => {
                let paused = self.pause.lost(self.position());
                self.pauses = self.pauses.saturating_add(usize::from(paused));
                None
            }
            Answer::Stop => {
                self.stop();
                None
            }
        }
    }

    /// How often bytes began to be left out since this was asked.
    pub fn take_pauses(&mut self) -> usize {
        std::mem::take(&mut self.pauses)
    }

    fn skip(&mut self, until: u64) -> Option<Step> {
        self.skip_until = self.skip_until.max(until);
        let buffer_start = self.position().saturating_sub(self.buffered as u64);
        let stored = self.skip_until.saturating_sub(buffer_start);
        let len = usize::try_from(stored).map_or(self.buffered, |len| len.min(self.buffered));
        self.buffered = self.buffered.saturating_sub(len);
        (len > 0).then_some(Step::Forget { len })
    }

    /// Mirrors no more, but goes on counting what passes.
    pub fn stop(&mut self) {
        self.lease = None;
        self.buffered = 0;
    }
}

#[cfg(test)]
mod tests;
