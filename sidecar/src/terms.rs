//! By which rules an entity's bytes are fetched: what the operator sets for each profile.

use std::time::Duration;

use serde::Deserialize;

/// Who answers a miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Miss {
    /// The origin, straight through Envoy; the filter copies the body here. The viewer never waits
    /// for the cache, but such a transfer cannot be shortened when others fetch parts of it.
    #[default]
    Mirror,
    /// The sidecar, which fetches: every byte comes from the origin once, whatever viewers do.
    Relay,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who answers a miss.
    pub miss: Miss,
    /// The most that one request asks of the origin, in bytes.
    pub window: u64,
    /// A stored run this short inside a gap is fetched again rather than asked around.
    pub bridge: u64,
    /// How much is fetched beyond what a sequential viewer has asked for.
    pub read_ahead: u64,
    /// How far ahead of its frontier a lead keeps others from fetching: they follow instead.
    pub lease: u64,
    /// A lead that has brought no byte for this long is led past.
    pub stall: Duration,
    /// How often the rest is asked for without a new byte before a viewer is cut.
    pub tries: u32,
    /// How long a viewer waits for a byte before it is cut.
    pub patience: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            miss: Miss::Mirror,
            window: 16 << 20,
            bridge: 0,
            read_ahead: 0,
            lease: 8 << 20,
            stall: Duration::from_secs(2),
            tries: 4,
            patience: Duration::from_secs(30),
        }
    }
}

impl Terms {
    /// The youtube profile's: its origins pace or refuse larger requests.
    pub fn youtube() -> Self {
        Self {
            window: 10 << 20,
            ..Self::default()
        }
    }
}
