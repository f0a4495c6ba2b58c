//! Subscriptions as YouTube and its front-ends export them: OPML, CSV and JSON. Pure.

use serde_json::Value;
use thiserror::Error;

use super::is_id;

/// Why an export is not understood.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Not text.
    #[error("subscriptions: not UTF-8")]
    Text,
    /// OPML that is not XML.
    #[error("subscriptions: OPML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// CSV that is not.
    #[error("subscriptions: CSV: {0}")]
    Csv(#[from] csv::Error),
    /// JSON that is not.
    #[error("subscriptions: JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Nothing in it names a channel.
    #[error("subscriptions: no channel is named in it")]
    Empty,
}

/// A subscription: the channel's id and its title, if it has one.
pub type Subscription = (String, Option<String>);

/// Reads an export, whichever of the three it is; each channel comes once.
///
/// # Errors
/// When it is none of them, or names no channel.
pub fn subscriptions(text: &[u8]) -> Result<Vec<Subscription>, ImportError> {
    let text = std::str::from_utf8(text).map_err(|_| ImportError::Text)?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut found = match text.as_bytes().first() {
        Some(b'<') => opml(text)?,
        Some(b'{' | b'[') => json(text)?,
        _ => csv(text)?,
    };
    found.retain(|(id, _)| is_id(id));
    // The first title of a channel counts.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same && first.1.is_none() {
            first.1 = later.1.take();
        }
        same
    });
    match found.is_empty() {
        true => Err(ImportError::Empty),
        false => Ok(found),
    }
}

/// The channel that a URL names: of its page, or of its feed.
fn channel_of(url: &str) -> Option<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let of_feed = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("channel_id="));
    let of_page = || {
        let (_, rest) = path.split_once("/channel/")?;
        rest.split('/').next()
    };
    let of_feed_path = || {
        let (_, rest) = path.split_once("/feed/channel/")?;
        rest.split('/').next()
    };
    let id = of_feed.or_else(of_feed_path).or_else(of_page)?;
    is_id(id).then(|| id.to_owned())
}

fn opml(text: &str) -> Result<Vec<Subscription>, ImportError> {
    let document = roxmltree::Document::parse(text)?;
    let outlines = document
        .descendants()
        .filter(|node| node.has_tag_name("outline"));
    let subscription = |node: roxmltree::Node<'_, '_>| {
        let url = node
            .attribute("xmlUrl")
            .or_else(|| node.attribute("htmlUrl"))?;
        let title = node.attribute("title").or_else(|| node.attribute("text"));
        Some((channel_of(url)?, title.map(str::to_owned)))
    };
    Ok(outlines.filter_map(subscription).collect())
}

/// As Google Takeout writes it: id, URL and title, under a head in the user's language.
fn csv(text: &str) -> Result<Vec<Subscription>, ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut found = Vec::new();
    for record in reader.records() {
        let record = record?;
        // The URL tells a channel from the head, and from any other table.
        let id = record.iter().find_map(channel_of);
        let title = record.get(2).filter(|title| !title.is_empty());
        found.extend(id.map(|id| (id, title.map(str::to_owned))));
    }
    Ok(found)
}

/// Takeout's older form, and those of Invidious, `NewPipe`, `FreeTube` and Piped; `FreeTube` writes one
/// value a line.
fn json(text: &str) -> Result<Vec<Subscription>, ImportError> {
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter() {
        let value: Value = value?;
        let lists = [Some(&value), value.get("subscriptions")];
        for list in lists.into_iter().flatten() {
            let items = list.as_array().into_iter().flatten();
            found.extend(items.filter_map(item));
        }
    }
    Ok(found)
}

fn item(item: &Value) -> Option<Subscription> {
    if let Some(id) = item.as_str() {
        return Some((id.to_owned(), None));
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let first = |paths: &[&str]| paths.iter().find_map(|path| text(item.pointer(path)?));
    let id = first(&[
        "/snippet/resourceId/channelId",
        "/channelId",
        "/id",
        "/authorId",
    ]);
    let id = id.or_else(|| channel_of(&first(&["/url"])?))?;
    Some((id, first(&["/snippet/title", "/name", "/author", "/title"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, Option<&str>)]) {
        let found = subscriptions(text.as_bytes()).unwrap();
        let expect: Vec<Subscription> = expect
            .iter()
            .map(|&(id, title)| (id.to_owned(), title.map(str::to_owned)))
            .collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn opml_names_channels_by_their_feeds() {
        check(
            r#"<?xml version="1.0"?><opml version="1.1"><body><outline text="YouTube Subscriptions">
            <outline text="B &amp; C" title="B &amp; C" type="rss"
                xmlUrl="https://www.youtube.com/feeds/videos.xml?channel_id=UCb"/>
            <outline text="A" xmlUrl="https://invidious.test/feed/channel/UCa"/>
            <outline text="no channel" xmlUrl="https://blog.test/feed"/>
            </outline></body></opml>"#,
            &[("UCa", Some("A")), ("UCb", Some("B & C"))],
        );
    }

    #[test]
    fn csv_may_have_a_head_in_any_language() {
        check(
            "Kanal-ID,Kanal-URL,Kanaltitel\r\nUCa,http://www.youtube.com/channel/UCa,\"A, the first\"\r\nUCb,http://www.youtube.com/channel/UCb,\r\n",
            &[("UCa", Some("A, the first")), ("UCb", None)],
        );
    }

    #[test]
    fn json_comes_in_several_forms() {
        check(
            r#"[{"snippet": {"title": "A", "resourceId": {"channelId": "UCa"}}}]"#,
            &[("UCa", Some("A"))],
        );
        check(
            r#"{"subscriptions": ["UCb", "UCa", "UCb"]}"#,
            &[("UCa", None), ("UCb", None)],
        );
        check(
            r#"{"app_version": "0.27", "subscriptions": [
            {"service_id": 0, "url": "https://www.youtube.com/channel/UCa", "name": "A"}]}"#,
            &[("UCa", Some("A"))],
        );
        check(
            "{\"_id\": \"allChannels\", \"subscriptions\": [{\"id\": \"UCa\", \"name\": \"A\"}]}\n{\"_id\": \"x\", \"subscriptions\": [{\"id\": \"UCb\", \"name\": \"B\"}]}\n",
            &[("UCa", Some("A")), ("UCb", Some("B"))],
        );
    }

    #[test]
    fn what_names_no_channel_is_refused() {
        for (text, expect) in [
            (&b""[..], "no channel"),
            (b"hello", "no channel"),
            (b"{}", "no channel"),
            (b"[1, {", "JSON"),
            (b"<opml>", "OPML"),
            (b"\xff", "UTF-8"),
        ] {
            let error = subscriptions(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
