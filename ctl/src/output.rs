//! What is printed.

use std::io::{self, Write};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints a line or several.
pub(crate) fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Prints JSON as people read it.
pub(crate) fn json(value: &Value) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}

/// A table without frames: columns that line up and can be cut by other programs.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    say(&lines.collect::<Vec<_>>().join("\n"))
}

/// Names and values, one a line.
pub(crate) fn facts(facts: &[(&str, String)]) -> Result<()> {
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        say(&format!("{name:widest$}  {value}"))?;
    }
    Ok(())
}

/// Whether an error only says that nobody reads any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
