//! The media type of a file that no origin has named one for. Pure.

/// The media type by the quality of a video, the name and the beginning of a file. Where none of
/// them tells, it is just bytes (RFC 2046 section 4.5.1).
pub fn media_type(itag: Option<&str>, path: &str, beginning: &[u8]) -> &'static str {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.map(str::to_ascii_lowercase).unwrap_or_default();
    itag.and_then(of_itag)
        .or_else(|| of_extension(&extension))
        .or_else(|| of_beginning(beginning))
        .unwrap_or("application/octet-stream")
}

/// The qualities that are sound alone: their files have the names of videos as often as not.
fn of_itag(itag: &str) -> Option<&'static str> {
    match itag {
        "139" | "140" | "141" | "256" | "258" | "325" | "328" => Some("audio/mp4"),
        "171" | "172" | "249" | "250" | "251" => Some("audio/webm"),
        _ => None,
    }
}

fn of_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "flv" => "video/x-flv",
        "ts" | "m2ts" => "video/mp2t",
        "mpg" | "mpeg" => "video/mpeg",
        "ogv" => "video/ogg",
        "3gp" => "video/3gpp",
        "m4a" => "audio/mp4",
        "weba" => "audio/webm",
        "mp3" => "audio/mpeg",
        "aac" => "audio/aac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        _ => return None,
    })
}

fn of_beginning(beginning: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, mark: &[u8]| {
        let there = beginning.get(offset..).unwrap_or_default();
        there.starts_with(mark)
    };
    if at(4, b"ftyp") {
        // ISO/IEC 14496-12 section 4.3.
        return Some("video/mp4");
    }
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        // EBML: the type of document stands near (RFC 8794 section 11.2.6).
        let head = beginning.get(..64).unwrap_or(beginning);
        let webm = head.windows(4).any(|word| word == b"webm");
        return Some(if webm {
            "video/webm"
        } else {
            "video/x-matroska"
        });
    }
    if at(0, b"OggS") {
        return Some("audio/ogg");
    }
    at(0, b"ID3").then_some("audio/mpeg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_name_and_beginning_count_in_this_order() {
        let check = |itag, path, beginning: &[u8], expect| {
            assert_eq!(media_type(itag, path, beginning), expect, "{itag:?} {path}");
        };
        check(Some("22"), "a.mp4", b"", "video/mp4");
        check(Some("140"), "a.mp4", b"", "audio/mp4");
        check(Some("251"), "a.webm", b"", "audio/webm");
        check(None, "d.x/a.MKV", b"\0\0\0\x20ftypisom", "video/x-matroska");
        check(None, "d.mp4/a", b"\0\0\0\x20ftypisom", "video/mp4");
        check(
            None,
            "a.bin",
            b"\x1a\x45\xdf\xa3\x93B\x82\x84webm",
            "video/webm",
        );
        check(None, "a.bin", b"\x1a\x45\xdf\xa3", "video/x-matroska");
        check(None, "a", b"OggS", "audio/ogg");
        check(None, "a", b"", "application/octet-stream");
    }
}
