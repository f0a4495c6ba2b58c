//! The table: what was measured beside what is promised. Pure.

use std::time::Duration;

use crate::faults::Plan;
use crate::verdict::Figures;

/// What became of one fault.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    /// It happened.
    Run {
        figures: Figures,
        note: Option<String>,
        broken: Vec<String>,
    },
    /// It could not be made.
    NotRun(&'static str),
    /// Something that should have worked did not.
    Failed(String),
}

impl Row {
    /// Whether a limit was broken, or could not be measured.
    pub(crate) fn fails(&self) -> bool {
        match self {
            Self::Run { broken, .. } => !broken.is_empty(),
            Self::NotRun(_) => false,
            Self::Failed(_) => true,
        }
    }
}

/// The heads of its columns.
const HEAD: [&str; 10] = [
    "fault",
    "requests",
    "wrong",
    "failed",
    "excused",
    "hits",
    "p99 added",
    "worst added",
    "recovery",
    "",
];

/// Markdown, and readable as it is.
pub(crate) fn table(rows: &[(Plan, Row)]) -> String {
    let cells = rows.iter().map(|(plan, row)| cells(plan, row));
    aligned([HEAD.map(str::to_owned)].into_iter().chain(cells).collect())
}

fn cells(plan: &Plan, row: &Row) -> [String; 10] {
    let mut cells = [const { String::new() }; 10];
    cells[0] = plan.name.to_owned();
    match row {
        Row::NotRun(why) => cells[9] = format!("not run: {why}"),
        Row::Failed(why) => cells[9] = format!("FAILED: {}", why.lines().next().unwrap_or("")),
        Row::Run {
            figures,
            note,
            broken,
        } => {
            let limits = plan.limits;
            let held = if broken.is_empty() { "holds" } else { "BROKEN" };
            let recovery = match figures.recovery {
                Some(recovery) => beside(recovery, limits.recovery),
                None => format!("none ({})", seconds(limits.recovery)),
            };
            let note = note.as_ref().map(|note| format!("; {note}"));
            cells[1..].clone_from_slice(&[
                figures.requests.to_string(),
                format!("{} (0)", figures.wrong),
                format!("{} (0)", figures.failed),
                figures.excused.to_string(),
                format!("{:.0} %", figures.hits * 100.0),
                beside(figures.p99, limits.p99),
                beside(figures.worst, limits.worst),
                recovery,
                format!("{held}{}", note.unwrap_or_default()),
            ]);
        }
    }
    cells
}

fn beside(is: Duration, limit: Duration) -> String {
    format!("{} ({})", seconds(is), seconds(limit))
}

fn seconds(duration: Duration) -> String {
    let text = format!("{:.2}", duration.as_secs_f64());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} s")
}

/// Columns as wide as their widest cell.
pub(crate) fn aligned<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text += &format!("| {cell:width$} ");
        }
        text += "|\n";
        if index == 0 {
            for width in &widths {
                text += &format!("|{}", "-".repeat(width + 2));
            }
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults;

    #[test]
    fn figures_stand_beside_their_limits() {
        let plan = faults::all()[0];
        let figures = Figures {
            requests: 10,
            recovery: Some(Duration::from_millis(500)),
            hits: 0.987,
            ..Figures::default()
        };
        let run = |recovery, broken: &[&str]| Row::Run {
            figures: Figures {
                recovery,
                ..figures.clone()
            },
            note: None,
            broken: broken.iter().map(|&text| text.to_owned()).collect(),
        };
        let rows = [
            (plan, run(figures.recovery, &[])),
            (plan, run(None, &["does not recover"])),
            (plan, Row::NotRun("needs root")),
            (plan, Row::Failed("why\nat length".to_owned())),
        ];
        let fails: Vec<_> = rows.iter().map(|(_, row)| row.fails()).collect();
        assert_eq!(fails, [false, true, false, true]);
        let text = table(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        for (line, part) in [
            (2, "| 99 % |"),
            (2, "| 0.5 s (5 s) |"),
            (2, "| holds "),
            (3, "| none (5 s) "),
            (3, "| BROKEN "),
            (4, "| not run: needs root "),
            (5, "| FAILED: why "),
        ] {
            assert!(lines[line].contains(part), "{part}: {text}");
        }
        let width = |line: &&str| line.chars().count();
        assert!(lines.iter().map(width).all(|w| w == width(&lines[0])));
    }
}
