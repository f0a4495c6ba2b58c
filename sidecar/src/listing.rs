//! Pages of long lists: in which order, from where on, and the best of very many in little memory.
//! Pure.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::str::FromStr;

use thiserror::Error;

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The id: the only order that needs no look at all of them.
    #[default]
    Id,
    /// When it was first asked for.
    StartedAt,
    /// When it was last asked for.
    LastAccessed,
    /// How much of it is stored.
    CachedBytes,
    /// How often it was answered from the store alone.
    Hits,
}

/// What it is sorted by, and which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what; then by id.
    pub by: By,
    /// Whether the greatest come first; equals are in the order of their ids all the same.
    pub descending: bool,
}

/// Something else than a sort or a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListingError {
    /// No such order.
    #[error(
        "is not id, started_at, last_accessed, cached_bytes or hits, with or without a minus before it"
    )]
    Sort,
    /// Of another list.
    #[error("is not a cursor of this list in this order")]
    Cursor,
}

impl FromStr for Sort {
    type Err = ListingError;

    fn from_str(text: &str) -> Result<Self, ListingError> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let by = match name {
            "id" => By::Id,
            "started_at" => By::StartedAt,
            "last_accessed" => By::LastAccessed,
            "cached_bytes" => By::CachedBytes,
            "hits" => By::Hits,
            _ => return Err(ListingError::Sort),
        };
        Ok(Self { by, descending })
    }
}

impl Sort {
    /// Whether a list that is kept in the order of ids is in this one.
    pub fn is_natural(self) -> bool {
        self == Self::default()
    }

    /// The place of something with this value and id.
    pub fn place<I>(self, value: u64, id: I) -> Place<I> {
        let value = match (self.by, self.descending) {
            (By::Id, _) => 0,
            (_, false) => value,
            (_, true) => !value,
        };
        let id = match (self.by, self.descending) {
            (By::Id, true) => Turned::Down(id),
            _ => Turned::Up(id),
        };
        Place { value, id }
    }
}

/// An id that sorts one way or the other. In one list all are turned alike.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turned<I> {
    Up(I),
    Down(I),
}

impl<I: Ord> PartialOrd for Turned<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Ord> Ord for Turned<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Down(one), Self::Down(other)) => other.cmp(one),
            (Self::Up(one) | Self::Down(one), Self::Up(other) | Self::Down(other)) => {
                one.cmp(other)
            }
        }
    }
}

/// Where something stands in a list: what comes first is less. A page ends at one, and the next
/// begins after it, whatever came or went meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<I> {
    value: u64,
    id: Turned<I>,
}

impl<I: Ord> PartialOrd for Place<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Ord> Ord for Place<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.value, &self.id).cmp(&(other.value, &other.id))
    }
}

impl<I> Place<I> {
    /// Whose place it is.
    pub const fn id(&self) -> &I {
        match &self.id {
            Turned::Up(id) | Turned::Down(id) => id,
        }
    }
}

impl<I: ToString> Place<I> {
    /// As a page names it to the next.
    pub fn cursor(&self, sort: Sort) -> String {
        let id = self.id().to_string();
        match sort.by {
            By::Id => id,
            _ => format!("{:x}.{id}", self.value),
        }
    }
}

impl<I: FromStr> Place<I> {
    /// The place that a cursor names in a list that is sorted so.
    ///
    /// # Errors
    /// When it is a cursor of another list.
    pub fn parse(cursor: &str, sort: Sort) -> Result<Self, ListingError> {
        let (value, id) = match sort.by {
            By::Id => (0, cursor),
            _ => {
                let (value, id) = cursor.split_once('.').ok_or(ListingError::Cursor)?;
                let value = u64::from_str_radix(value, 16).map_err(|_| ListingError::Cursor)?;
                (value, id)
            }
        };
        let id = id.parse().map_err(|_| ListingError::Cursor)?;
        // The value is one that was turned already.
        let place = sort.place(0, id);
        Ok(Self { value, ..place })
    }
}

/// The first of very many, in the order of their places: no more than a page of them is kept.
#[derive(Clone, Debug)]
pub struct First<I, T> {
    most: usize,
    after: Option<Place<I>>,
    /// The last of them on top.
    kept: BinaryHeap<Kept<I, T>>,
}

#[derive(Clone, Debug)]
struct Kept<I, T> {
    place: Place<I>,
    item: T,
}

impl<I: Ord, T> PartialEq for Kept<I, T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<I: Ord, T> Eq for Kept<I, T> {}

impl<I: Ord, T> PartialOrd for Kept<I, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Ord, T> Ord for Kept<I, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl<I: Ord, T> First<I, T> {
    /// The first `most` after a place.
    pub const fn new(most: usize, after: Option<Place<I>>) -> Self {
        Self {
            most,
            after,
            kept: BinaryHeap::new(),
        }
    }

    /// Whether something at this place would be among them.
    pub fn takes(&self, place: &Place<I>) -> bool {
        let after = self.after.as_ref().is_none_or(|after| after < place);
        let full = self.most <= self.kept.len();
        after && (!full || self.kept.peek().is_some_and(|last| *place < last.place))
    }

    /// Offers one.
    pub fn offer(&mut self, place: Place<I>, item: T) {
        if self.takes(&place) {
            self.kept.push(Kept { place, item });
            if self.most < self.kept.len() {
                self.kept.pop();
            }
        }
    }

    /// All of them, in order.
    pub fn into_items(self) -> Vec<(Place<I>, T)> {
        let kept = self.kept.into_sorted_vec().into_iter();
        kept.map(|kept| (kept.place, kept.item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_have_names() {
        let sort = |by, descending| Ok(Sort { by, descending });
        for (text, expect) in [
            ("id", sort(By::Id, false)),
            ("-id", sort(By::Id, true)),
            ("hits", sort(By::Hits, false)),
            ("-last_accessed", sort(By::LastAccessed, true)),
            ("cached_bytes", sort(By::CachedBytes, false)),
            ("started_at", sort(By::StartedAt, false)),
            ("--id", Err(ListingError::Sort)),
            ("", Err(ListingError::Sort)),
            ("size", Err(ListingError::Sort)),
        ] {
            assert_eq!(text.parse(), expect, "{text}");
        }
    }

    #[test]
    fn a_cursor_of_another_order_is_none() {
        let natural = Sort::default();
        let hits: Sort = "-hits".parse().unwrap();
        assert_eq!(Place::<u32>::parse("x", natural), Err(ListingError::Cursor));
        assert_eq!(Place::<u32>::parse("7", hits), Err(ListingError::Cursor));
        assert_eq!(Place::<u32>::parse("x.7", hits), Err(ListingError::Cursor));
        assert_eq!(
            Place::<u32>::parse("5.7", natural),
            Err(ListingError::Cursor)
        );
    }

    proptest! {
        /// Page after page is the whole list, sorted.
        #[test]
        fn pages_are_the_list(
            values in proptest::collection::vec(0..8u64, 0..80),
            by in 0..5usize,
            descending: bool,
            most in 1..20usize,
        ) {
            let by = [By::Id, By::StartedAt, By::LastAccessed, By::CachedBytes, By::Hits][by];
            let sort = Sort { by, descending };
            let mut expected: Vec<(u64, usize)> = values.iter().copied().zip(0..).collect();
            match (by, descending) {
                (By::Id, false) => {}
                (By::Id, true) => expected.reverse(),
                (_, false) => expected.sort(),
                (_, true) => expected.sort_by_key(|&(value, id)| (!value, id)),
            }
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let mut page = First::new(most, after);
                for (id, &value) in values.iter().enumerate() {
                    page.offer(sort.place(value, id), (value, id));
                }
                let page = page.into_items();
                let Some((last, _)) = page.last() else { break };
                let cursor = last.cursor(sort);
                after = Some(Place::parse(&cursor, sort).unwrap());
                prop_assert_eq!(after.as_ref(), Some(last));
                prop_assert!(page.len() <= most);
                listed.extend(page.into_iter().map(|(_, item)| item));
            }
            prop_assert_eq!(listed, expected);
        }
    }
}
