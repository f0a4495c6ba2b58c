//! Which qualities of a video are no use any more because a better one is complete. Pure.

use viewcache_protocol::EntityKey;

use crate::itags::{self, Format, Kind};
use crate::policy::Quality;

/// What of a quality matters when it is compared with others of its video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    itag: String,
    format: Option<Format>,
    /// Which of several versions of a video it is, such as one in another language.
    xtags: Option<String>,
    /// Whether all of it is stored.
    complete: bool,
}

impl Rival {
    /// Of an entity; `None` when its key names no quality.
    pub fn new(key: &EntityKey, complete: bool) -> Option<Self> {
        let itag = key.part("itag")?;
        Some(Self {
            itag: itag.to_owned(),
            format: itags::format(itag),
            xtags: key.part("xtags").map(str::to_owned),
            complete,
        })
    }

    /// Whether one of `others`, all of the same video, is complete and does for whoever would want
    /// this one.
    ///
    /// Sound is compared with sound, a picture with a picture, and both in one with both in one, or
    /// with a picture beside which some sound is complete. The better one has the higher picture,
    /// or the nominal bit rate. What a player has to understand is the same for both, and so is what
    /// tells versions of a video apart. What is not publicly known is never compared. One that
    /// stands before the better one in the operator's list of preferred qualities is not outdone.
    pub fn outdone<'a>(
        &self,
        others: impl IntoIterator<Item = &'a Self> + Clone,
        quality: &Quality,
    ) -> bool {
        let Some(own) = self.format else {
            return false;
        };
        let complete = || others.clone().into_iter().filter(|other| other.complete);
        let sound = || {
            let kind = |other: &Self| other.format.map(|format| format.kind);
            complete().any(|other| kind(other) == Some(Kind::Audio))
        };
        let better = |other: &Self| {
            let Some(format) = other.format else {
                return false;
            };
            let serves = match (own.kind, format.kind) {
                (Kind::Combined, Kind::Video) => sound(),
                (kind, other) => kind == other,
            };
            serves
                && format.form == own.form
                && other.xtags == self.xtags
                && own.rank < format.rank
                && !quality.prefers(&self.itag, &other.itag)
        };
        complete().any(better)
    }
}

#[cfg(test)]
mod tests {
    use viewcache_protocol::Profile;

    use super::*;

    fn rival(text: &str) -> Rival {
        // "137", "137!" when it is complete, "140 lang=de" for a version.
        let (itag, xtags) = text.split_once(' ').unwrap_or((text, ""));
        let xtags = match xtags {
            "" => String::new(),
            xtags => format!("&xtags={xtags}"),
        };
        let rest = format!(
            "v=a&itag={}&lmt=1{xtags}&clen=9",
            itag.trim_end_matches('!')
        );
        let key = EntityKey::new(Profile::Youtube, &rest).unwrap();
        Rival::new(&key, itag.ends_with('!')).unwrap()
    }

    #[track_caller]
    fn check(one: &str, others: &[&str], quality: &Quality, expected: bool) {
        let others: Vec<Rival> = others.iter().map(|text| rival(text)).collect();
        let outdone = rival(one).outdone(&others, quality);
        assert_eq!(outdone, expected, "{one} by {others:?}");
    }

    #[test]
    fn a_better_one_that_is_complete_outdoes() {
        let check = |one, others, expected| check(one, others, &Quality::Watched, expected);
        // The higher picture, whether or not the lower one is complete.
        check("136", &["137!"], true);
        check("136!", &["134!", "137!"], true);
        check("136", &["137", "134!"], false);
        check("137", &["136!", "137!", "299!"], false);
        // Another form is for other players.
        check("136", &["248!", "399!"], false);
        check("247", &["335!"], false);
        // Sound by sound, and never one by the other.
        check("139", &["140!"], true);
        check("140!", &["139!", "251!", "137!", "258!"], false);
        check("137", &["140!", "22!"], false);
        // Another language is another thing.
        check("139", &["140! lang=de"], false);
        check("139 lang=de", &["140! lang=de"], true);
        // What nobody knows.
        check("9001", &["137!", "9002!"], false);
        check("136", &["9001!"], false);
    }

    #[test]
    fn both_in_one_are_outdone_by_both_or_by_a_picture_with_some_sound() {
        let check = |others, expected| check("18", others, &Quality::Watched, expected);
        check(&["22!"], true);
        check(&["137!"], false);
        check(&["137!", "140"], false);
        check(&["137!", "140!"], true);
        check(&["137!", "251!"], true);
        check(&["134!", "140!"], false);
        check(&["248!", "251!"], false);
    }

    #[test]
    fn what_is_preferred_is_not_outdone_by_what_is_preferred_less() {
        let list: Quality = serde_json::from_str(r#"["136", "137"]"#).unwrap();
        check("136", &["137!", "299!"], &list, false);
        check("134", &["137!"], &list, true);
    }
}
