//! Which bodies are taken. A form, or a script without leave, can send another site three media
//! types and none at all (CORS calls them simple); whatever else it sends, its browser first asks
//! whether it may, and is not told that it may.

use super::Denial;

const JSON: &str = "application/json";
const NO_FORM: &str = "a type that forms cannot send";
const FORMS: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

/// Whether a request that may change something has a body of a type that is taken.
///
/// # Errors
/// When not.
pub(super) fn judge(path: &str, value: Option<String>, body: bool) -> Result<(), Denial> {
    if value.is_none() && !body {
        return Ok(());
    }
    let essence = value.as_deref().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let (taken, expected) = if imports(path) {
        // What others export comes in many types, and is looked at by whoever reads it.
        let form = FORMS.contains(&&essence[..]);
        (essence.contains('/') && !form, NO_FORM)
    } else {
        let suffixed = essence.starts_with("application/") && essence.ends_with("+json");
        (essence == JSON || suffixed, JSON)
    };
    match taken {
        true => Ok(()),
        false => Err(Denial::ContentType(value, expected)),
    }
}

/// Whether files from elsewhere are taken there.
fn imports(path: &str) -> bool {
    path == "/v1/channels/import" || path == "/v1/imports" || path.starts_with("/v1/imports/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json() {
        let check = |path: &str, value: Option<&str>, body: bool, expect: bool| {
            let judged = judge(path, value.map(str::to_owned), body);
            assert_eq!(judged.is_ok(), expect, "{path} {value:?} {body}");
        };
        for path in ["/v1/policy", "/v1/channels/import"] {
            check(path, None, false, true);
            check(path, None, true, false);
            check(path, Some("application/json"), true, true);
            check(path, Some("application/json; charset=utf-8"), true, true);
            check(path, Some("Application/Merge-Patch+JSON"), true, true);
            for form in FORMS {
                check(path, Some(form), true, false);
                check(path, Some(form), false, false);
                check(path, Some(&format!("{form}; boundary=x")), true, false);
                check(path, Some(&form.to_ascii_uppercase()), true, false);
            }
            check(path, Some(""), true, false);
            check(path, Some("json"), true, false);
            check(path, Some("text/plain; application/json"), true, false);
        }
        for (other, path, expect) in [
            ("text/x-opml", "/v1/channels/import", true),
            ("text/csv", "/v1/imports", true),
            ("application/octet-stream", "/v1/imports/7", true),
            ("text/x-opml", "/v1/policy", false),
            ("text/x-opml", "/v1/importsx", false),
            ("image/svg+json", "/v1/policy", false),
        ] {
            check(path, Some(other), true, expect);
        }
        // Two lines of the field: read as one value, which is no known type.
        check(
            "/v1/policy",
            Some("text/plain, application/json"),
            true,
            false,
        );
    }
}
