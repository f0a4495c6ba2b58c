//! Why a routed request is handed back to Envoy.

use strum::VariantArray;

/// Why a request is given to the origin instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum HandBack {
    /// The origin's answer must not be stored.
    Declined,
    /// The origin could not be read through the egress listener.
    Origin,
    /// Nobody came to know the entity in time.
    Late,
    /// The range cannot be completed from another transfer.
    NotCombinable,
    /// The store failed.
    Store,
    /// As many responses are streamed as memory allows.
    Busy,
    /// A condition is the origin's to judge.
    Condition,
    /// Only the head is wanted, and it is not known.
    Unknown,
    /// What is stored was selected by other request header fields.
    Vary,
    /// Several ranges that are not all stored, or not in order.
    SeveralRanges,
}

impl HandBack {
    /// The token in logs, metric labels and the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Origin => "origin",
            Self::Late => "late",
            Self::NotCombinable => "not-combinable",
            Self::Store => "store",
            Self::Busy => "busy",
            Self::Condition => "condition",
            Self::Unknown => "unknown",
            Self::Vary => "vary",
            Self::SeveralRanges => "several-ranges",
        }
    }
}
