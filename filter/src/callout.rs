//! What the answers to callouts mean. An answer is its status (none when the callout was reset),
//! a few header values and a body; none of them can be trusted to be well-formed.

use strum::VariantArray;
use viewcache_protocol::Decision;

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Failure {
    /// Envoy does not know the cluster.
    Misconfigured,
    /// No healthy sidecar, an open circuit breaker, a refused or reset connection.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The sidecar does not understand this filter's version.
    Version,
    /// An answer with another status than 200.
    Refused,
    /// A 200 that is no decision.
    Unreadable,
}

impl Failure {
    /// The token in logs and Cache-Status details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Misconfigured => "decide-misconfigured",
            Self::Unreachable => "decide-unreachable",
            Self::Timeout => "decide-timeout",
            Self::Version => "decide-version",
            Self::Refused => "decide-refused",
            Self::Unreadable => "decide-unreadable",
        }
    }
}

/// Reads the answer to `decide`. Envoy itself answers 503 for a connection it could not make and
/// 504 after the timeout.
///
/// # Errors
/// When it is not a 200 with a decision.
pub fn decision(status: Option<u16>, body: &[u8]) -> Result<Decision, Failure> {
    match status {
        Some(200) => serde_json::from_slice(body).map_err(|_| Failure::Unreadable),
        None | Some(503) => Err(Failure::Unreachable),
        Some(504) => Err(Failure::Timeout),
        Some(409) => Err(Failure::Version),
        Some(_) => Err(Failure::Refused),
    }
}

/// What the sidecar says to a mirror message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken; all before `skip_until` is stored already.
    Taken {
        /// The offset that mirroring may go on at.
        skip_until: Option<u64>,
    },
    /// Not taken, but the next one may be: the queue is full or the connection broke.
    Lost,
    /// Nothing more of this fill is wanted.
    Stop,
}

impl Answer {
    /// Reads an answer. A status such as 404 or 410 says that the fill is dead.
    pub fn read(status: Option<u16>, skip_until: Option<&[u8]>, stop: bool) -> Self {
        match status {
            _ if stop => Self::Stop,
            None | Some(429 | 500..) => Self::Lost,
            Some(200..300) => {
                let text = skip_until.and_then(|value| std::str::from_utf8(value).ok());
                Self::Taken {
                    skip_until: text.and_then(|text| text.trim().parse().ok()),
                }
            }
            Some(_) => Self::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn every_answer_to_decide_is_a_decision_or_a_failure() {
        let check = |status, body: &str, expect| {
            assert_eq!(
                decision(status, body.as_bytes()),
                expect,
                "{status:?} {body}"
            );
        };
        let hit = |remember_ms| Ok(Decision::Hit { remember_ms });
        check(Some(200), r#"{"decision":"hit"}"#, hit(None));
        let memorable = r#"{"decision":"hit","remember_ms":9}"#;
        check(Some(200), memorable, hit(Some(9)));
        let wrong = r#"{"decision":"hit","remember_ms":-1}"#;
        check(Some(200), wrong, Err(Failure::Unreadable));
        check(
            Some(200),
            r#"{"decision":"later"}"#,
            Err(Failure::Unreadable),
        );
        check(Some(200), "", Err(Failure::Unreadable));
        check(None, "", Err(Failure::Unreachable));
        check(Some(503), "", Err(Failure::Unreachable));
        check(Some(504), "", Err(Failure::Timeout));
        check(Some(409), "", Err(Failure::Version));
        check(Some(404), "", Err(Failure::Refused));
        check(Some(204), r#"{"decision":"hit"}"#, Err(Failure::Refused));
    }

    #[test]
    fn every_answer_to_a_mirror_message_is_one_of_three() {
        let check = |status, skip: Option<&[u8]>, stop, expect| {
            assert_eq!(
                Answer::read(status, skip, stop),
                expect,
                "{status:?} {skip:?} {stop}"
            );
        };
        let taken = |skip_until| Answer::Taken { skip_until };
        check(Some(200), None, false, taken(None));
        check(Some(204), Some(b" 17 "), false, taken(Some(17)));
        check(Some(200), Some(b"-1"), false, taken(None));
        check(Some(200), Some(b"\xff"), false, taken(None));
        check(Some(200), None, true, Answer::Stop);
        check(None, None, false, Answer::Lost);
        check(Some(429), None, false, Answer::Lost);
        check(Some(503), None, false, Answer::Lost);
        check(Some(410), None, false, Answer::Stop);
        check(Some(302), None, false, Answer::Stop);
    }
}
