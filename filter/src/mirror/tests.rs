use std::rc::Rc;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::budget::Budget;
use crate::config::MirrorLimits;

const LIMITS: MirrorLimits = MirrorLimits {
    chunk_min: 4,
    chunk_max: 16,
    budget: 64,
    max_mirrors: 4,
};

fn mirror(start: u64, end: u64) -> (Rc<Budget>, Mirror) {
    let budget = Rc::new(Budget::default());
    let lease = Lease::start(&budget, LIMITS).ok();
    (
        budget,
        Mirror::new(ByteRange::new(start, end).unwrap(), lease),
    )
}

fn from_frame(offset: u64, len: usize, at: usize) -> Step {
    Step::Send(Chunk {
        offset,
        len,
        source: Source::Frame { at },
    })
}

fn from_buffer(offset: u64, len: usize) -> Step {
    Step::Send(Chunk {
        offset,
        len,
        source: Source::Buffer,
    })
}

#[test]
fn a_large_frame_is_sent_without_the_buffer() {
    let (_, mut mirror) = mirror(100, 140);
    assert_eq!(
        mirror.frame(30),
        [
            from_frame(100, 4, 0),
            from_frame(104, 8, 4),
            from_frame(112, 16, 12),
            Step::Copy {
                at: 28,
                len: 2,
                capacity: 16
            },
        ]
    );
    assert_eq!(
        mirror.frame(10),
        [
            Step::Copy {
                at: 0,
                len: 10,
                capacity: 16
            },
            from_buffer(128, 12)
        ]
    );
    assert!(mirror.complete());
    assert_eq!(mirror.delivered(), ByteRange::new(100, 140));
}

#[test]
fn small_frames_are_gathered() {
    let (_, mut mirror) = mirror(0, 100);
    assert_eq!(
        mirror.frame(3),
        [Step::Copy {
            at: 0,
            len: 3,
            capacity: 4
        }]
    );
    assert_eq!(
        mirror.frame(3),
        [
            Step::Copy {
                at: 0,
                len: 1,
                capacity: 4
            },
            from_buffer(0, 4),
            Step::Copy {
                at: 1,
                len: 2,
                capacity: 8
            },
        ]
    );
    assert_eq!(mirror.flush(), Some(from_buffer(4, 2)));
    assert_eq!(mirror.flush(), None);
    assert!(!mirror.complete());
}

#[test]
fn the_last_bytes_do_not_wait_for_a_full_buffer() {
    let (_, mut mirror) = mirror(0, 3);
    assert_eq!(mirror.frame(3), [from_frame(0, 3, 0)]);
}

#[test]
fn bytes_beyond_the_promised_ones_are_never_sent() {
    let (budget, mut mirror) = mirror(0, 3);
    assert_eq!(mirror.frame(9), [from_frame(0, 3, 0)]);
    assert_eq!(mirror.frame(9), []);
    assert!(!mirror.complete());
    assert_eq!(mirror.delivered(), ByteRange::new(0, 3));
    assert_eq!(budget.bytes(), 0);
}

#[test]
fn what_is_stored_already_is_skipped() {
    let (_, mut mirror) = mirror(0, 100);
    assert_eq!(
        mirror.frame(2),
        [Step::Copy {
            at: 0,
            len: 2,
            capacity: 4
        }]
    );
    let skip = |until| Answer::Taken {
        skip_until: Some(until),
    };
    assert_eq!(mirror.answered(skip(1)), Some(Step::Forget { len: 1 }));
    assert_eq!(mirror.answered(skip(1)), None);
    assert_eq!(mirror.answered(skip(10)), Some(Step::Forget { len: 1 }));
    assert_eq!(mirror.frame(7), []);
    assert_eq!(
        mirror.frame(3),
        [Step::Copy {
            at: 1,
            len: 2,
            capacity: 4
        }]
    );
    assert_eq!(
        mirror.frame(2),
        [
            Step::Copy {
                at: 0,
                len: 2,
                capacity: 4
            },
            from_buffer(10, 4)
        ]
    );
    // An older answer does not turn it back.
    assert_eq!(mirror.answered(skip(5)), None);
    assert_eq!(mirror.frame(8), [from_frame(14, 8, 0)]);
}

#[test]
fn it_stops_when_told_so() {
    let stops: [fn(&mut Mirror) -> Option<Step>; 3] = [
        |mirror| mirror.answered(Answer::Stop),
        |mirror| mirror.begun(Answer::Stop),
        |mirror| mirror.begun(Answer::Lost),
    ];
    for stop in stops {
        let (budget, mut mirror) = mirror(0, 100);
        mirror.frame(2);
        assert_eq!(stop(&mut mirror), None);
        assert!(!mirror.active());
        assert_eq!(mirror.flush(), None);
        assert_eq!(mirror.frame(98), []);
        assert!(mirror.complete());
        assert_eq!((budget.mirrors(), mirror.take_pauses()), (0, 0));
    }
}

#[test]
fn a_lost_chunk_leaves_a_gap_and_mirroring_goes_on_behind_it() {
    let end = 3 << 20;
    let (_, mut mirror) = mirror(0, end);
    mirror.frame(4);
    assert_eq!(mirror.answered(Answer::Lost), None);
    assert_eq!(mirror.take_pauses(), 1);
    assert_eq!(mirror.frame(1 << 20), []);
    // From 1 MiB behind the loss on.
    let behind = (1 << 20) + 4;
    assert_eq!(mirror.frame(8), [from_frame(behind, 8, 0)]);
    assert_eq!(mirror.answered(Answer::Taken { skip_until: None }), None);
    assert_eq!(mirror.frame(16), [from_frame(behind + 8, 16, 0)]);
    assert_eq!(mirror.take_pauses(), 0);
}

#[test]
fn too_many_chunks_on_their_way_leave_a_gap() {
    let (_, mut mirror) = mirror(0, 1 << 20);
    let sent = |steps: &[Step]| steps.iter().filter(|s| matches!(s, Step::Send(_))).count();
    assert_eq!(sent(&mirror.frame(1 << 19)), 32);
    assert_eq!(mirror.take_pauses(), 1);
    let taken = Answer::Taken { skip_until: None };
    for _ in 0..23 {
        mirror.answered(taken);
        assert_eq!(mirror.frame(100), []);
    }
    mirror.answered(taken);
    let steps = mirror.frame(16);
    assert_eq!(steps, [from_frame((1 << 19) + 2300, 16, 0)]);
}

/// Where a `usize` of the filter's own target ends.
#[test]
fn offsets_go_beyond_4_gib() {
    let start = (1 << 32) - 6;
    let (_, mut mirror) = mirror(start, 1 << 33);
    assert_eq!(
        mirror.frame(12),
        [from_frame(start, 4, 0), from_frame(start + 4, 8, 4)]
    );
    let taken = Answer::Taken {
        skip_until: Some((1 << 33) - 1),
    };
    assert_eq!(mirror.answered(taken), None);
    assert_eq!(mirror.frame(1 << 20), []);
    assert_eq!(
        mirror.delivered(),
        ByteRange::from_len(start, (1 << 20) + 12)
    );
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Happening {
        Frame(usize),
        SkipUntil(u64),
        Lost,
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let frame = (0..40usize).prop_map(Happening::Frame);
        let skip = (0..400u64).prop_map(Happening::SkipUntil);
        prop::collection::vec(
            prop_oneof![8 => frame, 1 => skip, 1 => Just(Happening::Lost)],
            0..40,
        )
    }

    /// Does with real bytes what the steps say; byte `n` of the entity is `n % 251`.
    #[derive(Default)]
    struct Host {
        buffer: Vec<u8>,
        sent: Vec<(u64, Vec<u8>)>,
    }

    impl Host {
        fn act(&mut self, frame: &[u8], steps: impl IntoIterator<Item = Step>) {
            for step in steps {
                match step {
                    Step::Copy { at, len, capacity } => {
                        self.buffer.extend_from_slice(&frame[at..at + len]);
                        assert!(0 < len && self.buffer.len() <= capacity);
                    }
                    Step::Forget { len } => drop(self.buffer.drain(..len)),
                    Step::Send(Chunk {
                        offset,
                        len,
                        source,
                    }) => {
                        let bytes = match source {
                            Source::Frame { at } => {
                                assert!(self.buffer.is_empty());
                                frame[at..at + len].to_vec()
                            }
                            Source::Buffer => std::mem::take(&mut self.buffer),
                        };
                        assert!(0 < len && bytes.len() == len);
                        self.sent.push((offset, bytes));
                    }
                }
            }
        }
    }

    fn entity(start: u64, len: usize) -> Vec<u8> {
        (start..).take(len).map(|n| (n % 251) as u8).collect()
    }

    proptest! {
        #[test]
        fn chunks_are_the_bytes_of_the_stream(
            start in 0..50u64, len in 1..300u64, script in happenings(), chunk_max in 4..40usize,
        ) {
            let budget = Rc::new(Budget::default());
            let limits = MirrorLimits { chunk_max, ..LIMITS };
            let range = ByteRange::from_len(start, len).unwrap();
            let mut mirror = Mirror::new(range, Lease::start(&budget, limits).ok());
            let mut host = Host::default();
            let (mut at, mut stored, mut lossy) = (start, 0, false);
            for happening in script {
                match happening {
                    Happening::Frame(size) => {
                        let frame = entity(at, size);
                        at += size as u64;
                        host.act(&frame, mirror.frame(size));
                    }
                    Happening::SkipUntil(until) => {
                        stored = stored.max(until);
                        host.act(&[], mirror.answered(Answer::Taken { skip_until: Some(until) }));
                    }
                    Happening::Lost => {
                        lossy = true;
                        host.act(&[], mirror.answered(Answer::Lost));
                    }
                }
                prop_assert!(budget.bytes() <= limits.budget);
            }
            host.act(&[], mirror.flush());

            let passed = at.min(range.end());
            prop_assert_eq!(mirror.delivered(), ByteRange::new(start, passed));
            prop_assert_eq!(mirror.complete(), at == range.end());
            let mut next = start;
            for (offset, bytes) in &host.sent {
                // Only what is stored already or follows a loss may be left out, and nothing is
                // sent twice.
                prop_assert!(next <= *offset);
                prop_assert!(next == *offset || *offset <= stored || lossy);
                prop_assert_eq!(bytes, &entity(*offset, bytes.len()));
                next = *offset + bytes.len() as u64;
            }
            prop_assert!(next <= range.end());
            if !lossy && host.sent.len() < 32 && mirror.active() {
                prop_assert!(next.max(stored) >= passed);
            }
            drop(mirror);
            prop_assert_eq!((budget.bytes(), budget.mirrors()), (0, 0));
        }
    }
}
