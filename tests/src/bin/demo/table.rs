//! The table of what was played.

use std::io::{self, Write};
use std::time::Duration;

/// One play.
pub(crate) struct Row {
    pub(crate) request: String,
    pub(crate) cache_status: String,
    pub(crate) status: u16,
    /// To the end of the head.
    pub(crate) waited: Duration,
    pub(crate) from_cache: u64,
    /// As the origin counts.
    pub(crate) from_origin: u64,
    /// The bytes of the body, when all are the origin's.
    pub(crate) verified: usize,
    /// What is not as it should be.
    pub(crate) wrong: Option<String>,
}

const HEAD: [&str; 7] = [
    "request",
    "Cache-Status",
    "status",
    "first byte",
    "from cache",
    "from origin",
    "verified",
];

/// Prints them, and below them what is wrong.
pub(crate) fn print(rows: &[Row]) -> io::Result<()> {
    let cells = |row: &Row| {
        [
            row.request.clone(),
            row.cache_status.clone(),
            row.status.to_string(),
            format!("{:.1} ms", row.waited.as_secs_f64() * 1000.0),
            row.from_cache.to_string(),
            row.from_origin.to_string(),
            row.verified.to_string(),
        ]
    };
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = io::stdout().lock();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            match column {
                0 | 1 => write!(out, "{cell:width$}  ")?,
                _ => write!(out, "{cell:>width$}  ")?,
            }
        }
        writeln!(out)?;
    }
    for row in rows {
        if let Some(wrong) = &row.wrong {
            writeln!(out, "WRONG  {}: {wrong}", row.request)?;
        }
    }
    Ok(())
}
