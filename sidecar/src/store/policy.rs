//! The operator's policy, and what it bounds.

use super::{Store, StoreError};
use crate::policy::Policy;

impl Store {
    /// The policy as it was stored; `None` when there is none, or none that is understood.
    pub fn policy(&self) -> Result<Option<Policy>, StoreError> {
        let stored = self.index()?.policy()?;
        let read = |text: Vec<u8>| {
            let policy = serde_json::from_slice::<Policy>(&text);
            let error = match policy {
                Ok(policy) => match policy.check() {
                    Ok(()) => return Some(policy),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            tracing::error!(%error, "the stored policy is not used");
            None
        };
        Ok(stored.and_then(read))
    }

    /// Stores the policy, and brings it to the disk.
    pub fn put_policy(&self, policy: &Policy) -> Result<(), StoreError> {
        let text = serde_json::to_vec(policy).map_err(std::io::Error::other)?;
        self.index()?.put_policy(&text)
    }

    /// The room of segments that are not known to be worth keeping, in bytes.
    pub fn provisional(&self) -> u64 {
        self.index().map_or(0, |index| index.provisional())
    }
}
