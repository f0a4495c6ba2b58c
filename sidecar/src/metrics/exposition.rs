//! The two text formats, and which of them a request accepts. Pure.

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0, for those who ask for it: Prometheus does.
    OpenMetrics,
    /// Prometheus' own text format, for people, `promtool` and everybody else.
    Text,
}

impl Exposition {
    /// The format that a request's Accept field (RFC 9110 section 12.5.1) asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        let ranges = accept.unwrap_or_default().split(',');
        let named = ranges.map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let mut parameters = parameters.split(';').map(str::trim);
            let refused = parameters.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            (name.trim(), refused)
        });
        let wanted = |(name, refused): (&str, bool)| {
            !refused && name.eq_ignore_ascii_case("application/openmetrics-text")
        };
        match named.into_iter().any(wanted) {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What was written as OpenMetrics, in this format.
    pub(super) fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => text(&open_metrics),
        }
    }
}

/// The text format has neither units nor an end, and gives help and type to a sample's full name:
/// that of a counter ends in `_total`, and an info is a gauge.
fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let (_, help) = help.split_once(' ').unwrap_or_default();
            text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let check = |accept: Option<&str>, expected| {
            assert_eq!(Exposition::accepted(accept), expected, "{accept:?}");
        };
        check(None, Exposition::Text);
        check(Some("*/*"), Exposition::Text);
        check(Some("text/plain"), Exposition::Text);
        check(
            Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"),
            Exposition::OpenMetrics,
        );
        check(
            Some("text/html, Application/OpenMetrics-Text"),
            Exposition::OpenMetrics,
        );
        check(
            Some("application/openmetrics-text;q=0, */*"),
            Exposition::Text,
        );
    }

    #[test]
    fn the_text_format_names_samples_in_full() {
        let open_metrics = "# HELP a_bytes Bytes.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                            a_bytes_total{reason=\"x\"} 1\n\
                            # HELP b About.\n# TYPE b info\nb_info{version=\"1\"} 1\n\
                            # HELP c Level.\n# TYPE c gauge\nc 3\n# EOF\n";
        let expected = "# HELP a_bytes_total Bytes.\n# TYPE a_bytes_total counter\n\
                        a_bytes_total{reason=\"x\"} 1\n\
                        # HELP b_info About.\n# TYPE b_info gauge\nb_info{version=\"1\"} 1\n\
                        # HELP c Level.\n# TYPE c gauge\nc 3\n";
        assert_eq!(Exposition::Text.of(open_metrics.to_owned()), expected);
        assert_eq!(Exposition::OpenMetrics.of("x".to_owned()), "x");
    }
}
