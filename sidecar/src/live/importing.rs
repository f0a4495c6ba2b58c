//! How a file that is imported goes with what is stored. Pure.

use viewcache_protocol::{ByteRange, Generation};

use super::State;
use crate::store::{Checked, Stamp};

/// A file that is to be an entity.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What its bytes are, as far as is known.
    pub identity: &'a Generation,
    /// Which file it is.
    pub stamp: Stamp,
    /// Where it is.
    pub path: &'a str,
    /// Whether the origin has said so, and not only the operator.
    pub vouched: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// All of it is stored already.
    Known,
    /// It gives what is missing of this generation.
    Continue(u64),
    /// It is a generation of its own, and replaces the one that there is.
    Open,
    /// Only if it has the same in the place of these pieces of this generation.
    Compare(u64, Vec<Checked>),
    /// Somebody uses what it would replace.
    InUse,
    /// What is stored came from the origin, and is another.
    Differs,
}

impl State {
    /// What becomes of a file, which has been found to have the same bytes as what is stored of the
    /// generation `compared`.
    ///
    /// Bytes of a file for which nobody but the operator vouches never come to stand beside the
    /// origin's: they replace them.
    pub fn course(&self, offer: Offer<'_>, compared: Option<u64>) -> Course {
        let Some(living) = &self.record.generation else {
            return Course::Open;
        };
        let whole = ByteRange::new(0, living.complete_length());
        let complete = whole.is_some_and(|whole| self.stored.covers(whole));
        let combinable = living.identity.combinable(self.record.key.profile());
        let alike_named = match offer.vouched {
            true => living.identity == *offer.identity,
            // The key names the bytes; a validator says no more.
            false => living.complete_length() == offer.identity.complete_length,
        };
        let same = combinable && alike_named;
        let original = living.original.as_ref();
        let alike = compared == Some(living.seq) || self.stored.is_empty();
        let compare = || {
            let pieces = whole.map(|whole| self.rows.checked(whole).collect());
            Course::Compare(living.seq, pieces.unwrap_or_default())
        };
        if same && complete {
            return Course::Known;
        }
        if same && original.is_some_and(|original| original.stamp == offer.stamp) {
            return Course::Continue(living.seq);
        }
        if same && offer.vouched {
            return match alike {
                true => Course::Continue(living.seq),
                false => compare(),
            };
        }
        // Another file is where that was which it came from.
        let succeeds = original.is_some_and(|original| original.path == offer.path);
        // What the origin has now counts, not what it had.
        let replaces = succeeds || offer.vouched;
        match (self.busy(), replaces || same && alike, same) {
            (true, ..) => Course::InUse,
            (false, true, _) => Course::Open,
            (false, false, true) => compare(),
            (false, false, false) => Course::Differs,
        }
    }

    /// What is missing of generation `seq`, segment by segment.
    pub fn missing(&self, seq: u64) -> Vec<ByteRange> {
        let living = self.record.generation.as_ref().filter(|g| g.seq == seq);
        let place = self.place(seq);
        let whole = living.and_then(|living| ByteRange::new(0, living.complete_length()));
        let Some((place, whole)) = place.zip(whole) else {
            return Vec::new();
        };
        let gaps = self.stored.gaps(whole).into_iter();
        gaps.flat_map(|gap| place.by_segment(gap)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;
    use viewcache_protocol::{EntityKey, FillId, Profile, Validator};

    use super::*;
    use crate::live::Live;
    use crate::store::{GenerationRecord, How, Original, Row};
    use crate::terms::Terms;

    const N: u64 = 1000;

    fn identity(etag: Option<&str>, complete_length: u64) -> Generation {
        Generation {
            validator: etag.map(|etag| Validator::Etag(etag.to_owned())),
            complete_length,
        }
    }

    const fn stamp(modified: i64) -> Stamp {
        Stamp {
            inode: 1,
            length: N,
            modified,
        }
    }

    fn original(path: &str, modified: i64) -> Original {
        Original {
            path: path.to_owned(),
            stamp: stamp(modified),
            how: How::Copy,
            proven: false,
        }
    }

    /// So much is stored of a generation.
    fn live(
        profile: Profile,
        identity: Generation,
        stored: u64,
        original: Option<Original>,
    ) -> Live {
        let key = match profile {
            Profile::Youtube => "v=abc&itag=22&lmt=1&clen=1000",
            _ => "http://a/b",
        };
        let key = EntityKey::new(profile, key).unwrap();
        let live = Live::new(&key, None, Terms::default(), SystemTime::now());
        let mut state = live.state();
        state.open(GenerationRecord {
            seq: 5,
            segment_size: 64 << 10,
            identity,
            transfer: String::new(),
            headers: Vec::new(),
            received_at: 0,
            selecting: Default::default(),
            governing: None,
            original,
        });
        if let Some(range) = ByteRange::new(0, stored) {
            state.stored.insert(range);
            let bytes = vec![7; usize::try_from(stored).unwrap()];
            state.rows.insert(0, Row::of(0, &bytes));
        }
        drop(state);
        live
    }

    fn course(live: &Live, identity: &Generation, vouched: bool, compared: Option<u64>) -> Course {
        let offer = Offer {
            identity,
            stamp: stamp(1),
            path: "/v/a.mp4",
            vouched,
        };
        live.state().course(offer, compared)
    }

    #[test]
    fn a_video_replaces_what_is_stored_of_it_when_that_is_the_same() {
        let file = identity(None, N);
        let check = |live: &Live, expect: Course| {
            assert_eq!(course(live, &file, false, None), expect);
        };
        let youtube = |stored, original| live(Profile::Youtube, file.clone(), stored, original);
        check(&youtube(N, None), Course::Known);
        let tagged = identity(Some("\"a\""), N);
        check(&live(Profile::Youtube, tagged, N, None), Course::Known);
        check(&youtube(0, None), Course::Open);
        let partial = youtube(100, None);
        let pieces = |live: &Live| {
            let whole = ByteRange::new(0, N).unwrap();
            live.state().rows.checked(whole).collect::<Vec<_>>()
        };
        check(&partial, Course::Compare(5, pieces(&partial)));
        assert_eq!(course(&partial, &file, false, Some(5)), Course::Open);
        // Another generation than the one that was compared.
        let again = course(&partial, &file, false, Some(4));
        assert!(matches!(again, Course::Compare(5, _)), "{again:?}");
        // It goes on where it was, unless the file is another by now.
        check(
            &youtube(100, Some(original("/v/a.mp4", 1))),
            Course::Continue(5),
        );
        check(&youtube(100, Some(original("/v/a.mp4", 2))), Course::Open);
        let other = youtube(100, Some(original("/v/b.mp4", 2)));
        assert!(matches!(
            course(&other, &file, false, None),
            Course::Compare(5, _)
        ));
        check(
            &live(Profile::Youtube, identity(None, 7), 7, None),
            Course::Differs,
        );
        let (fill, until) = (
            FillId(1),
            Instant::now() + std::time::Duration::from_secs(5),
        );
        partial.state().leads.grant(fill, until);
        check(&partial, Course::InUse);
    }

    #[test]
    fn what_the_origin_vouches_for_fills_the_gaps_of_its_own() {
        let file = identity(Some("\"a\""), N);
        let generic =
            |identity: &Generation, stored| live(Profile::Generic, identity.clone(), stored, None);
        let partial = generic(&file, 100);
        assert!(matches!(
            course(&partial, &file, true, None),
            Course::Compare(5, _)
        ));
        assert_eq!(course(&partial, &file, true, Some(5)), Course::Continue(5));
        assert_eq!(course(&generic(&file, N), &file, true, None), Course::Known);
        // What the origin had before.
        let older = identity(Some("\"b\""), N);
        assert_eq!(course(&generic(&older, N), &file, true, None), Course::Open);
        // Without a validator no two transfers are one generation.
        let nameless = identity(None, N);
        let stored = generic(&nameless, 100);
        assert_eq!(course(&stored, &nameless, true, None), Course::Open);
        stored.state().readers.enter();
        assert_eq!(course(&stored, &nameless, true, None), Course::InUse);
    }

    #[test]
    fn what_is_missing_is_told_by_segments() {
        let live = live(Profile::Youtube, identity(None, N), 100, None);
        let missing = |seq| live.state().missing(seq);
        assert_eq!(missing(5), [ByteRange::new(100, N).unwrap()]);
        assert_eq!(missing(4), []);
    }
}
