//! The figures of a run: medians by measure and subject, and what they are compared with.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What a measure is judged by.
#[derive(Clone, Debug)]
struct Target {
    /// What is compared, and with what.
    text: String,
    /// What it came to.
    value: f64,
    met: bool,
}

/// The figures of one row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    /// In the order in which they were first added.
    measures: Vec<&'static str>,
    samples: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    targets: Vec<Target>,
}

impl Sheet {
    /// Adds a round's figure.
    pub(crate) fn add(&mut self, measure: &'static str, subject: &'static str, value: f64) {
        if !self.measures.contains(&measure) {
            self.measures.push(measure);
        }
        self.samples
            .entry((measure, subject))
            .or_default()
            .push(value);
    }

    /// The median of a subject's figures; NaN when there is none.
    pub(crate) fn median(&self, measure: &'static str, subject: &'static str) -> f64 {
        let mut samples = self
            .samples
            .get(&(measure, subject))
            .cloned()
            .unwrap_or_default();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// A measure of one subject over that of another.
    pub(crate) fn ratio(
        &self,
        measure: &'static str,
        subject: &'static str,
        to: &'static str,
    ) -> f64 {
        self.median(measure, subject) / self.median(measure, to)
    }

    /// A figure that must be at least `least`.
    pub(crate) fn at_least(&mut self, text: impl Into<String>, value: f64, least: f64) {
        self.judge(format!("{} ≥ {least}", text.into()), value, least <= value);
    }

    /// A figure that must be at most `most`.
    pub(crate) fn at_most(&mut self, text: impl Into<String>, value: f64, most: f64) {
        self.judge(format!("{} ≤ {most}", text.into()), value, value <= most);
    }

    fn judge(&mut self, text: String, value: f64, met: bool) {
        self.targets.push(Target { text, value, met });
    }

    /// The row as text.
    pub(crate) fn render(&self, subjects: &[&'static str]) -> String {
        let mut text = String::new();
        for measure in &self.measures {
            let _ = write!(text, "  {measure:<34}");
            for subject in subjects {
                let figure = match self.median(measure, subject) {
                    median if median.is_nan() => "-".to_owned(),
                    median if 100.0 <= median.abs() => format!("{median:.0}"),
                    median => format!("{median:.2}"),
                };
                let _ = write!(text, "{figure:>16}");
            }
            text.push('\n');
        }
        for Target {
            text: what,
            value,
            met,
        } in &self.targets
        {
            let verdict = if *met { "ok" } else { "MISSED" };
            let _ = writeln!(text, "  {verdict:>6}  {what}: {value:.3}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared() {
        let mut sheet = Sheet::default();
        for value in [30.0, 10.0, 20.0] {
            sheet.add("MB/s", "a", value);
            sheet.add("MB/s", "b", value * 2.0);
        }
        assert_eq!(sheet.median("MB/s", "a"), 20.0);
        assert_eq!(sheet.ratio("MB/s", "a", "b"), 0.5);
        sheet.at_least("a / b", 0.5, 0.9);
        sheet.at_most("a / b", 0.5, 0.5);
        let text = sheet.render(&["a", "b", "c"]);
        assert!(text.contains("MISSED  a / b ≥ 0.9: 0.500"), "{text}");
        assert!(text.contains("ok  a / b ≤ 0.5: 0.500"), "{text}");
        assert!(text.contains("20.00") && text.contains('-'), "{text}");
    }
}
