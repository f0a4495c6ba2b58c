//! What must be stored of an entity, as far as the messages and their answers tell.

use viewcache_protocol::{ByteRange, FillId, GenerationId, Validator};

use super::bytes_of::bytes;

/// Bytes that were sent.
#[derive(Clone, Debug)]
struct Sent {
    start: u64,
    end: u64,
    kind: usize,
    /// For which generation; those of a body of unknown length are its transfer's.
    of: GenerationId,
    fill: FillId,
}

/// A body of unknown length.
#[derive(Clone, Debug)]
struct Open {
    fill: FillId,
    validator: Option<Validator>,
}

/// What is known of one entity.
#[derive(Debug, Default)]
pub(super) struct Model {
    sent: Vec<Sent>,
    open: Vec<Open>,
    /// The living generation and its length, as far as begins tell.
    living: Option<(GenerationId, u64)>,
    /// Its bytes that were taken: disjoint, and whose they are.
    taken: Vec<(u64, u64, usize)>,
    /// Whether something happens in an order that nobody knows: a chunk waits for its begin, or a
    /// body of unknown length for its end. Then there may be more or less than what was taken.
    loose: bool,
}

/// The living generation, as the sidecar says.
pub(super) struct Living {
    pub(super) id: GenerationId,
    pub(super) transfer: String,
    pub(super) validator: Option<Validator>,
}

impl Model {
    /// A transfer has begun.
    pub(super) fn begun(&mut self, of: GenerationId, length: u64) {
        if self.living.is_none_or(|(living, _)| living != of) {
            self.living = Some((of, length));
            self.taken.clear();
        }
    }

    /// A body of unknown length has.
    pub(super) fn opened(&mut self, fill: FillId, validator: Option<Validator>) {
        self.loose = true;
        self.open.push(Open { fill, validator });
    }

    /// Something waits.
    pub(super) fn loosen(&mut self) {
        self.loose = true;
    }

    /// A chunk was sent.
    pub(super) fn sent(&mut self, range: ByteRange, kind: usize, of: GenerationId, fill: FillId) {
        self.sent.push(Sent {
            start: range.start(),
            end: range.end(),
            kind,
            of,
            fill,
        });
    }

    /// And was taken: what was not there is now.
    pub(super) fn took(&mut self, range: ByteRange, kind: usize) {
        let (_, length) = self
            .living
            .expect("a chunk is taken for a generation that has begun");
        let mut at = range.start();
        let end = range.end().min(length);
        while at < end {
            let over = self
                .taken
                .iter()
                .find(|(start, stop, _)| *start <= at && at < *stop);
            if let Some(&(_, stop, _)) = over {
                at = stop;
                continue;
            }
            let starts = self.taken.iter().map(|(start, _, _)| *start);
            let next = starts
                .filter(|start| at < *start)
                .min()
                .unwrap_or(end)
                .min(end);
            self.taken.push((at, next, kind));
            at = next;
        }
    }

    /// Whether all of a range must be stored; `None` when nobody knows.
    pub(super) fn covers(&self, start: u64, end: u64) -> Option<bool> {
        let has = |at: u64| {
            self.taken
                .iter()
                .any(|(from, to, _)| *from <= at && at < *to)
        };
        // Where anything is missing, a run ends just before it, or it is the first.
        let mut edges = self.taken.iter().map(|(_, stop, _)| *stop).chain([start]);
        let all = edges.all(|at| !(start <= at && at < end) || has(at));
        (!self.loose).then_some(all)
    }

    /// Compares with what is stored: runs and their bytes.
    pub(super) fn check(&self, living: Option<&Living>, stored: &[(ByteRange, bytes::Bytes)]) {
        let Some(living) = living else {
            assert!(self.living.is_none() && stored.is_empty());
            return;
        };
        for (run, found) in stored {
            self.check_run(living, *run, found);
        }
        if self.loose {
            return;
        }
        let (of, length) = self.living.expect("no generation without a begin");
        assert_eq!(living.id, of);
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for &(start, end, kind) in &taken {
            match runs.last_mut() {
                Some((_, last)) if *last == start => *last = end,
                _ => runs.push((start, end)),
            }
            // The first bytes win.
            let run = stored
                .iter()
                .find(|(run, _)| run.start() <= start && end <= run.end());
            let (run, found) =
                run.unwrap_or_else(|| panic!("{start}..{end} was taken and is gone"));
            let part = (start - run.start()) as usize..(end - run.start()) as usize;
            assert!(
                found[part] == bytes(kind, start, end)[..],
                "{start}..{end} is another's"
            );
        }
        let found: Vec<(u64, u64)> = stored.iter().map(|(r, _)| (r.start(), r.end())).collect();
        assert_eq!(found, runs);
        assert!(found.last().is_none_or(|(_, end)| *end <= length));
    }

    /// Every byte of a run was sent for this generation.
    fn check_run(&self, living: &Living, run: ByteRange, found: &[u8]) {
        let adopted = |sent: &Sent| {
            self.open.iter().any(|open| {
                let same = open.validator.is_some() || living.transfer == open.fill.to_string();
                open.fill == sent.fill && open.validator == living.validator && same
            })
        };
        let meant: Vec<&Sent> = self
            .sent
            .iter()
            .filter(|sent| sent.of == living.id || adopted(sent))
            .collect();
        let mut edges: Vec<u64> = meant
            .iter()
            .flat_map(|sent| [sent.start, sent.end])
            .collect();
        edges.extend([run.start(), run.end()]);
        edges.sort_unstable();
        edges.dedup();
        edges.retain(|at| run.start() <= *at && *at <= run.end());
        for pair in edges.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let part = &found[(start - run.start()) as usize..(end - run.start()) as usize];
            let mut here = meant
                .iter()
                .filter(|sent| sent.start <= start && end <= sent.end);
            let known = here.any(|sent| part == &bytes(sent.kind, start, end)[..]);
            assert!(known, "{start}..{end} was never sent for {}", living.id);
        }
    }
}
