//! Which responses of a profile are worth storing: the operator's say, beside HTTP's.

use serde::{Deserialize, Serialize};

use crate::cache_control::TARGETED;
use crate::transfer::{DeclineReason, Transfer};

/// Content types and sizes. Empty and 0 mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admission {
    /// Media types, or beginnings of them such as `video/`; in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The least complete length in bytes.
    pub min_size: u64,
    /// The most, unless it is 0.
    pub max_size: u64,
    /// Which fields are read instead of Cache-Control (RFC 9213), in lower case, the most specific
    /// first; [`TARGETED`] unless they are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targeted: Option<Vec<String>>,
}

impl Admission {
    /// Whether it admits everything.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The fields that are read instead of Cache-Control.
    pub fn targeted(&self) -> Vec<&str> {
        match &self.targeted {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => TARGETED.to_vec(),
        }
    }

    /// # Errors
    /// What it does not admit of a response. A size that is not known yet is admitted.
    pub fn judge(&self, transfer: &Transfer) -> Result<(), DeclineReason> {
        if !self.types.is_empty() {
            let mut fields = transfer.headers.iter();
            let field = fields.find(|(name, _)| name == "content-type");
            let media_type = field.map(|(_, value)| value.to_ascii_lowercase());
            let media_type = media_type.unwrap_or_default();
            if !self.types.iter().any(|t| media_type.starts_with(t)) {
                return Err(DeclineReason::ContentType);
            }
        }
        let length = transfer.generation.complete_length;
        if transfer.open_ended || self.admits_size(length) {
            Ok(())
        } else {
            Err(DeclineReason::Size)
        }
    }

    /// Whether an entity of this complete length is admitted.
    pub const fn admits_size(&self, length: u64) -> bool {
        self.min_size <= length && self.admits_more(length)
    }

    /// Whether an entity may be this long, or longer, as far as is known.
    pub const fn admits_more(&self, length: u64) -> bool {
        self.max_size == 0 || length <= self.max_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Generation;
    use crate::range::ByteRange;

    fn transfer(content_type: Option<&str>, complete_length: u64) -> Transfer {
        let field = |value: &str| ("content-type".to_owned(), value.to_owned());
        Transfer {
            generation: Generation {
                validator: None,
                complete_length,
            },
            range: ByteRange::new(0, complete_length).unwrap(),
            headers: content_type.map(field).into_iter().collect(),
            open_ended: false,
        }
    }

    #[test]
    fn types_and_sizes_are_judged() {
        let any = Admission::default();
        assert!(any.is_open());
        assert_eq!(any.judge(&transfer(None, 1)), Ok(()));
        let videos = Admission {
            types: vec!["video/".to_owned(), "audio/mp4".to_owned()],
            min_size: 10,
            max_size: 20,
            targeted: None,
        };
        for (content_type, length, expected) in [
            (Some("Video/MP4; codecs=x"), 10, Ok(())),
            (Some("audio/mp4"), 20, Ok(())),
            (Some("audio/mpeg"), 15, Err(DeclineReason::ContentType)),
            (None, 15, Err(DeclineReason::ContentType)),
            (Some("video/mp4"), 9, Err(DeclineReason::Size)),
            (Some("video/mp4"), 21, Err(DeclineReason::Size)),
        ] {
            let judged = videos.judge(&transfer(content_type, length));
            assert_eq!(judged, expected, "{content_type:?} {length}");
        }
        let unknown = Transfer {
            open_ended: true,
            ..transfer(Some("video/mp4"), 1 << 42)
        };
        assert_eq!(videos.judge(&unknown), Ok(()));
    }
}
