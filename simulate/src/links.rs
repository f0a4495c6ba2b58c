//! Doubly linked lists of dense numbers; a number is in one list of its links at the most.

/// The links: of each number the one before and the one after, plus one; 0 is none.
#[derive(Debug)]
pub(crate) struct Links(Vec<[u32; 2]>);

/// One list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    front: u32,
    back: u32,
}

impl Links {
    pub(crate) fn new(numbers: usize) -> Self {
        Self(vec![[0; 2]; numbers])
    }

    /// The one before, toward the front.
    pub(crate) fn before(&self, number: u32) -> Option<u32> {
        self.0[number as usize][0].checked_sub(1)
    }
}

impl List {
    pub(crate) fn front(&self) -> Option<u32> {
        self.front.checked_sub(1)
    }

    pub(crate) fn back(&self) -> Option<u32> {
        self.back.checked_sub(1)
    }

    pub(crate) fn push(&mut self, links: &mut Links, number: u32) {
        links.0[number as usize] = [0, self.front];
        match self.front() {
            Some(front) => links.0[front as usize][0] = number + 1,
            None => self.back = number + 1,
        }
        self.front = number + 1;
    }

    pub(crate) fn remove(&mut self, links: &mut Links, number: u32) {
        let [before, after] = links.0[number as usize];
        match before.checked_sub(1) {
            Some(before) => links.0[before as usize][1] = after,
            None => self.front = after,
        }
        match after.checked_sub(1) {
            Some(after) => links.0[after as usize][0] = before,
            None => self.back = before,
        }
    }

    /// Moves one to the front.
    pub(crate) fn raise(&mut self, links: &mut Links, number: u32) {
        if self.front() != Some(number) {
            self.remove(links, number);
            self.push(links, number);
        }
    }

    pub(crate) fn pop(&mut self, links: &mut Links) -> Option<u32> {
        let number = self.back()?;
        self.remove(links, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_raised_last_goes_last() {
        let (mut links, mut list) = (Links::new(4), List::default());
        (0..4).for_each(|number| list.push(&mut links, number));
        list.raise(&mut links, 0);
        list.raise(&mut links, 2);
        list.remove(&mut links, 3);
        let order: Vec<u32> = std::iter::from_fn(|| list.pop(&mut links)).collect();
        assert_eq!(order, [1, 0, 2]);
        assert_eq!((list.front(), list.back()), (None, None));
    }
}
