//! Whose transfer it is.

use strum::VariantArray;

/// Whose transfer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Role {
    /// A viewer's own, copied here by the filter.
    Mirror,
    /// The sidecar's.
    Own,
}

impl Role {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Own => "own",
        }
    }
}
