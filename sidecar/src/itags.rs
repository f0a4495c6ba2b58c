//! What is publicly known of the itags of YouTube and its front-ends. Pure.
//!
//! A URL says no more of a quality than its itag, so this is all that can be known of one before
//! anything has come. What an itag means has never changed; new ones come, and are not known here.

/// What is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound alone.
    Audio,
    /// A picture without sound.
    Video,
    /// Both.
    Combined,
}

/// What a player has to understand: one that plays an itag plays others of the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// H.264 in MP4, with AAC where there is sound.
    H264,
    /// AV1 in MP4.
    Av1,
    /// The same with a high dynamic range.
    Av1Hdr,
    /// VP8 in WebM, with Vorbis where there is sound.
    Vp8,
    /// VP9 in WebM.
    Vp9,
    /// The same with a high dynamic range.
    Vp9Hdr,
    /// Flash Video.
    Flash,
    /// 3GP.
    ThreeGp,
    /// A transport stream.
    Transport,
    /// AAC in MP4, two channels.
    Aac,
    /// Opus in WebM, two channels.
    Opus,
    /// Vorbis in WebM.
    Vorbis,
    /// More than two channels, whatever the codec.
    Surround,
}

/// What is known of an itag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// What is in it.
    pub kind: Kind,
    /// What a player has to understand.
    pub form: Form,
    /// How good it is among those of its kind and form: the lines of a picture, as players call it
    /// (the shorter side of one that stands upright), or nominal kbit/s. Where an itag has meant
    /// several, it is the most.
    pub rank: u16,
}

impl Format {
    /// The lines of the picture, if there is one.
    pub const fn height(self) -> Option<u16> {
        match self.kind {
            Kind::Audio => None,
            Kind::Video | Kind::Combined => Some(self.rank),
        }
    }
}

/// What is known of an itag; `None` when nothing is.
pub fn format(itag: &str) -> Option<Format> {
    let number: u16 = itag.parse().ok()?;
    // "+22" and "022" are other texts, and so other qualities.
    if number.to_string() != itag {
        return None;
    }
    let known = TABLE.iter().find(|(.., itags)| itags.contains(&number));
    known.map(|&(kind, form, rank, _)| Format { kind, form, rank })
}

type Row = (Kind, Form, u16, &'static [u16]);

const TABLE: &[Row] = &[
    (Kind::Combined, Form::H264, 360, &[18]),
    (Kind::Combined, Form::H264, 480, &[59, 78]),
    (Kind::Combined, Form::H264, 720, &[22]),
    (Kind::Combined, Form::H264, 1080, &[37]),
    (Kind::Combined, Form::H264, 3072, &[38]),
    (Kind::Combined, Form::Vp8, 360, &[43]),
    (Kind::Combined, Form::Vp8, 480, &[44]),
    (Kind::Combined, Form::Vp8, 720, &[45]),
    (Kind::Combined, Form::Vp8, 1080, &[46]),
    (Kind::Combined, Form::Flash, 240, &[5]),
    (Kind::Combined, Form::Flash, 270, &[6]),
    (Kind::Combined, Form::Flash, 360, &[34]),
    (Kind::Combined, Form::Flash, 480, &[35]),
    (Kind::Combined, Form::ThreeGp, 144, &[17]),
    (Kind::Combined, Form::ThreeGp, 240, &[36]),
    (Kind::Combined, Form::Transport, 72, &[151]),
    (Kind::Combined, Form::Transport, 144, &[91]),
    (Kind::Combined, Form::Transport, 240, &[92, 132]),
    (Kind::Combined, Form::Transport, 360, &[93]),
    (Kind::Combined, Form::Transport, 480, &[94]),
    (Kind::Combined, Form::Transport, 720, &[95, 300]),
    (Kind::Combined, Form::Transport, 1080, &[96, 301]),
    (Kind::Video, Form::H264, 144, &[160, 597]),
    (Kind::Video, Form::H264, 240, &[133]),
    (Kind::Video, Form::H264, 360, &[134]),
    (Kind::Video, Form::H264, 480, &[135, 212]),
    (Kind::Video, Form::H264, 720, &[136, 298]),
    (Kind::Video, Form::H264, 1080, &[137, 299]),
    (Kind::Video, Form::H264, 1440, &[264, 304]),
    (Kind::Video, Form::H264, 2160, &[266, 305]),
    (Kind::Video, Form::H264, 4320, &[138]),
    (Kind::Video, Form::Vp8, 360, &[167]),
    (Kind::Video, Form::Vp8, 480, &[168, 218, 219]),
    (Kind::Video, Form::Vp8, 720, &[169]),
    (Kind::Video, Form::Vp8, 1080, &[170]),
    (Kind::Video, Form::Vp9, 144, &[278, 598]),
    (Kind::Video, Form::Vp9, 240, &[242]),
    (Kind::Video, Form::Vp9, 360, &[243]),
    (Kind::Video, Form::Vp9, 480, &[244, 245, 246]),
    (Kind::Video, Form::Vp9, 720, &[247, 302]),
    (Kind::Video, Form::Vp9, 1080, &[248, 303, 616]),
    (Kind::Video, Form::Vp9, 1440, &[271, 308]),
    (Kind::Video, Form::Vp9, 2160, &[313, 315]),
    (Kind::Video, Form::Vp9, 4320, &[272]),
    (Kind::Video, Form::Vp9Hdr, 144, &[330]),
    (Kind::Video, Form::Vp9Hdr, 240, &[331]),
    (Kind::Video, Form::Vp9Hdr, 360, &[332]),
    (Kind::Video, Form::Vp9Hdr, 480, &[333]),
    (Kind::Video, Form::Vp9Hdr, 720, &[334]),
    (Kind::Video, Form::Vp9Hdr, 1080, &[335]),
    (Kind::Video, Form::Vp9Hdr, 1440, &[336]),
    (Kind::Video, Form::Vp9Hdr, 2160, &[337]),
    (Kind::Video, Form::Av1, 144, &[394]),
    (Kind::Video, Form::Av1, 240, &[395]),
    (Kind::Video, Form::Av1, 360, &[396]),
    (Kind::Video, Form::Av1, 480, &[397]),
    (Kind::Video, Form::Av1, 720, &[398]),
    (Kind::Video, Form::Av1, 1080, &[399, 721]),
    (Kind::Video, Form::Av1, 1440, &[400]),
    (Kind::Video, Form::Av1, 2160, &[401]),
    (Kind::Video, Form::Av1, 4320, &[402, 571]),
    (Kind::Video, Form::Av1Hdr, 144, &[694]),
    (Kind::Video, Form::Av1Hdr, 240, &[695]),
    (Kind::Video, Form::Av1Hdr, 360, &[696]),
    (Kind::Video, Form::Av1Hdr, 480, &[697]),
    (Kind::Video, Form::Av1Hdr, 720, &[698]),
    (Kind::Video, Form::Av1Hdr, 1080, &[699]),
    (Kind::Video, Form::Av1Hdr, 1440, &[700]),
    (Kind::Video, Form::Av1Hdr, 2160, &[701]),
    (Kind::Video, Form::Av1Hdr, 4320, &[702]),
    (Kind::Audio, Form::Aac, 30, &[599]),
    (Kind::Audio, Form::Aac, 48, &[139]),
    (Kind::Audio, Form::Aac, 128, &[140]),
    (Kind::Audio, Form::Aac, 256, &[141]),
    (Kind::Audio, Form::Opus, 35, &[600]),
    (Kind::Audio, Form::Opus, 50, &[249]),
    (Kind::Audio, Form::Opus, 70, &[250]),
    (Kind::Audio, Form::Opus, 160, &[251]),
    (Kind::Audio, Form::Opus, 256, &[774]),
    (Kind::Audio, Form::Vorbis, 128, &[171]),
    (Kind::Audio, Form::Vorbis, 192, &[172]),
    // Codecs and numbers of channels differ: which is better is for the player to say.
    (
        Kind::Audio,
        Form::Surround,
        0,
        &[256, 258, 325, 327, 328, 338, 380],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_itag_is_known_by_its_only_text() {
        let known = |kind, form, rank| Some(Format { kind, form, rank });
        for (itag, expected) in [
            ("22", known(Kind::Combined, Form::H264, 720)),
            ("137", known(Kind::Video, Form::H264, 1080)),
            ("399", known(Kind::Video, Form::Av1, 1080)),
            ("140", known(Kind::Audio, Form::Aac, 128)),
            ("251", known(Kind::Audio, Form::Opus, 160)),
            ("022", None),
            ("+22", None),
            ("9001", None),
            ("99999999", None),
            ("720p", None),
            ("", None),
        ] {
            assert_eq!(format(itag), expected, "{itag}");
        }
    }

    #[test]
    fn only_a_picture_has_a_height() {
        let height = |itag| format(itag).and_then(Format::height);
        assert_eq!(height("18"), Some(360));
        assert_eq!(height("701"), Some(2160));
        assert_eq!(height("140"), None);
    }

    #[test]
    fn no_itag_means_two_things() {
        let mut all: Vec<u16> = TABLE
            .iter()
            .flat_map(|(.., itags)| *itags)
            .copied()
            .collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
