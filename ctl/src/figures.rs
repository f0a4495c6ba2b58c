//! How figures are written for people.

use serde_json::Value;

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// Bytes with three digits, such as `1.25 MiB`; a dash when the value is no number.
pub(crate) fn bytes(value: &Value) -> String {
    let Some(count) = value.as_f64() else {
        return "-".to_owned();
    };
    let mut size = count.abs();
    let mut unit = 0;
    while 1000.0 <= size && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let sign = if count < 0.0 { "-" } else { "" };
    let digits = match size {
        _ if unit == 0 => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{sign}{size:.digits$} {}", UNITS[unit])
}

/// A ratio of 0 to 1 in percent; a dash when there is none.
pub(crate) fn percent(value: &Value) -> String {
    let percent = |ratio| format!("{:.1} %", ratio * 100.0);
    value.as_f64().map_or_else(|| "-".to_owned(), percent)
}

/// Text as it is, anything else as JSON, and a dash for nothing.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// How much of an entity is stored, in percent.
pub(crate) fn stored(entity: &Value) -> String {
    let length = entity["complete_length"].as_u64().filter(|&n| 0 < n);
    let cached = entity["cached_bytes"].as_u64();
    match (cached, length) {
        (Some(cached), Some(length)) => {
            let percent = u128::from(cached) * 100 / u128::from(length);
            format!("{percent} %")
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (json!(0), "0 B"),
            (json!(999), "999 B"),
            (json!(1000), "0.98 KiB"),
            (json!(1_310_720), "1.25 MiB"),
            (json!(107_374_182_400_u64), "100 GiB"),
            (json!(-2048), "-2.00 KiB"),
            (json!(null), "-"),
        ];
        for (value, expected) in cases {
            assert_eq!(bytes(&value), expected);
        }
        assert_eq!(percent(&json!(0.4455)), "44.5 %");
        assert_eq!(percent(&json!(null)), "-");
    }

    #[test]
    fn what_is_stored_is_rounded_down() {
        let entity =
            |cached: u64, length: Value| json!({"cached_bytes": cached, "complete_length": length});
        assert_eq!(stored(&entity(999, json!(1000))), "99 %");
        assert_eq!(stored(&entity(1000, json!(1000))), "100 %");
        assert_eq!(stored(&entity(0, json!(null))), "-");
    }
}
