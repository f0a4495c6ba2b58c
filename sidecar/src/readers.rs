//! Who is reading an entity and where: what paces the sidecar's own leads. Pure.

use viewcache_protocol::ByteRange;

/// Names a reader within its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderId(u64);

/// What kind of reader it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A response being streamed.
    Viewer,
    /// A read-ahead: it takes bytes as fast as they come.
    Eager,
    /// What completes an entity, at its own pace.
    Background,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reader {
    id: ReaderId,
    /// Offset of the next byte it sends.
    at: u64,
    /// Where it ends.
    end: u64,
    kind: Kind,
}

/// What readers want of a lead at its frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Bytes up to here.
    Until(u64),
    /// Nothing now: the fastest reader has not caught up.
    Paused,
    /// Nothing any more.
    Over,
}

/// The readers of one entity.
#[derive(Clone, Debug, Default)]
pub struct Readers {
    last: u64,
    all: Vec<Reader>,
}

impl Readers {
    /// A reader that does not know yet what it wants.
    pub fn enter(&mut self) -> ReaderId {
        self.add(0, 0, Kind::Viewer)
    }

    /// A reader of all of `range` at once.
    pub fn enter_eager(&mut self, range: ByteRange) -> ReaderId {
        self.add(range.start(), range.end(), Kind::Eager)
    }

    /// A reader that nobody watches, and that knows what it wants from time to time.
    pub fn enter_background(&mut self) -> ReaderId {
        self.add(0, 0, Kind::Background)
    }

    fn add(&mut self, at: u64, end: u64, kind: Kind) -> ReaderId {
        self.last = self.last.wrapping_add(1);
        let id = ReaderId(self.last);
        self.all.push(Reader { id, at, end, kind });
        id
    }

    /// The reader wants this range.
    pub fn aim(&mut self, id: ReaderId, range: ByteRange) {
        if let Some(reader) = self.all.iter_mut().find(|reader| reader.id == id) {
            (reader.at, reader.end) = (range.start(), range.end());
        }
    }

    /// The reader has come to `at`.
    pub fn advance(&mut self, id: ReaderId, at: u64) {
        if let Some(reader) = self.all.iter_mut().find(|reader| reader.id == id) {
            reader.at = at;
        }
    }

    /// The reader is gone.
    pub fn leave(&mut self, id: ReaderId) {
        self.all.retain(|reader| reader.id != id);
    }

    /// How many responses are being streamed.
    pub fn viewers(&self) -> usize {
        let viewers = self.all.iter().filter(|r| r.kind == Kind::Viewer);
        viewers.count()
    }

    /// Where they are, those that know it.
    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        let aimed = |r: &&Reader| r.kind == Kind::Viewer && r.at < r.end;
        self.all.iter().filter(aimed).map(|reader| reader.at)
    }

    /// Whether there is no reader of any kind.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a reader will come to a byte of `range`.
    pub fn want(&self, range: ByteRange) -> bool {
        let wants = |reader: &Reader| reader.at < range.end() && range.start() < reader.end;
        self.all.iter().any(wants)
    }

    /// Where the fastest reader is that a lead at `frontier` is ahead of.
    pub fn fastest(&self, frontier: u64) -> Option<u64> {
        let behind = self.all.iter().filter(|reader| {
            let at = reader.at;
            at <= frontier && frontier < reader.end
        });
        behind.map(|reader| reader.at).max()
    }

    /// How far a lead at `frontier` may go: `ahead` bytes beyond its fastest reader. A lead that
    /// began before the byte it was asked for (the origin ignored the range) goes on to that byte,
    /// `floor`, in any case.
    pub fn demand(&self, frontier: u64, floor: u64, ahead: u64) -> Demand {
        let waiting = self.all.iter().filter(|reader| {
            let behind = reader.at <= frontier.max(floor);
            behind && frontier < reader.end
        });
        let until = waiting.map(|reader| {
            let reach = if reader.kind == Kind::Eager {
                reader.end
            } else {
                reader.at.saturating_add(ahead)
            };
            reach.max(floor).min(reader.end)
        });
        match until.max() {
            Some(until) if frontier < until => Demand::Until(until),
            Some(_) => Demand::Paused,
            None => Demand::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn readers(ranges: &[(u64, u64)]) -> Readers {
        let mut readers = Readers::default();
        for &(start, end) in ranges {
            let id = readers.enter();
            readers.aim(id, range(start, end));
        }
        readers
    }

    #[test]
    fn a_lead_keeps_just_ahead_of_its_fastest_reader() {
        let readers = readers(&[(0, 100), (20, 100)]);
        assert_eq!(readers.demand(25, 0, 10), Demand::Until(30));
        assert_eq!(readers.demand(30, 0, 10), Demand::Paused);
        assert_eq!(readers.demand(30, 0, 1000), Demand::Until(100));
        assert_eq!(readers.fastest(30), Some(20));
        assert_eq!(readers.fastest(10), Some(0));
        assert_eq!(readers.fastest(100), None);
    }

    #[test]
    fn a_lead_that_nobody_comes_to_is_over() {
        assert_eq!(readers(&[(50, 100)]).demand(25, 0, 10), Demand::Over);
        assert_eq!(readers(&[(0, 25)]).demand(25, 0, 10), Demand::Over);
        assert_eq!(Readers::default().demand(0, 0, 10), Demand::Over);
    }

    #[test]
    fn a_whole_answer_to_a_range_is_read_up_to_the_range() {
        let readers = readers(&[(50, 100)]);
        assert_eq!(readers.demand(0, 50, 10), Demand::Until(60));
        assert_eq!(readers.demand(60, 50, 10), Demand::Paused);
    }

    #[test]
    fn a_read_ahead_takes_everything() {
        let mut readers = Readers::default();
        let id = readers.enter_eager(range(0, 1000));
        assert_eq!(readers.demand(0, 0, 10), Demand::Until(1000));
        assert!(readers.want(range(999, 1001)) && !readers.want(range(1000, 1001)));
        readers.leave(id);
        assert_eq!(readers.demand(0, 0, 10), Demand::Over);
    }

    #[test]
    fn what_completes_an_entity_is_no_viewer() {
        let mut readers = Readers::default();
        let id = readers.enter_background();
        assert_eq!(readers.demand(0, 0, 10), Demand::Over);
        readers.aim(id, range(0, 100));
        assert_eq!(readers.demand(0, 0, 10), Demand::Until(10));
        readers.enter_eager(range(0, 1));
        assert_eq!(readers.viewers(), 0);
        readers.enter();
        assert_eq!(readers.viewers(), 1);
    }

    #[test]
    fn one_who_knows_no_range_yet_wants_nothing() {
        let mut readers = Readers::default();
        let id = readers.enter();
        assert!(!readers.is_empty() && !readers.want(range(0, 1)));
        readers.aim(id, range(5, 10));
        readers.advance(id, 7);
        assert_eq!(readers.demand(7, 0, 1), Demand::Until(8));
    }
}
