//! A response's body as it is sent: what a stream gives, and between the parts of several ranges
//! what frames them.

use std::fmt;

use bytes::Bytes;
use viewcache_protocol::ByteRange;

use super::Cut;
use super::account::Account;
use super::parts::Parts;
use super::stream::Stream;

/// A response's body.
pub struct Body {
    /// What it begins with.
    range: ByteRange,
    /// The frame that is there already.
    first: Option<Result<Option<Bytes>, Cut>>,
    stream: Stream,
    /// What comes after it.
    parts: Parts,
    /// What it came to.
    account: Option<Account>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    pub(super) const fn new(
        range: ByteRange,
        first: Option<Result<Option<Bytes>, Cut>>,
        stream: Stream,
        parts: Parts,
    ) -> Self {
        Self {
            range,
            first,
            stream,
            parts,
            account: None,
        }
    }

    /// What is told of it when it is over.
    pub(super) fn keep(&mut self, account: Account) {
        self.account = Some(account);
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Cut`] when the rest could not be had.
    pub async fn frame(&mut self) -> Result<Option<Bytes>, Cut> {
        let frame = self.next().await;
        if let Some(account) = &mut self.account {
            account.begins();
        }
        frame
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        if let Some(first) = self.first.take() {
            return first;
        }
        if let Some(bytes) = self.stream.frame().await? {
            return Ok(Some(bytes));
        }
        Ok(self.parts.next().map(|part| {
            if let Some(range) = part.range {
                self.stream.turn_to(range);
            }
            part.before
        }))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let complete = self.first.is_none() && self.stream.is_over() && self.parts.are_over();
        let end = match (self.stream.is_cut, complete) {
            (true, _) => "cut",
            (false, true) => "complete",
            (false, false) => "left",
        };
        if let Some(account) = &self.account {
            account.close(Some(self.range), end, self.stream.sent);
        }
    }
}
