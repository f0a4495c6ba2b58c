//! The figures as Markdown.

use std::fmt::Write;

use anyhow::{Context, Result};

use crate::catalogue::PIECE;
use crate::plan::{Counts, Plan};
use crate::sheets::{OTHERS, Sheet};

/// What one policy did on a trace with so much room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Thousandths of the catalogue's bytes.
    pub(crate) size: u16,
    pub(crate) plan: Plan,
    pub(crate) counts: Counts,
}

/// Between these lines stands what is generated.
const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

const HEAD: &str = "\
| room | policy | byte hit ratio | points | request hit ratio | from the origin | written | … of entity LRU's |
|---:|---|---:|---:|---:|---:|---:|---:|
";

/// One table.
pub(crate) fn table(sheet: &Sheet, rows: &[Row]) -> Result<String> {
    let mut text = format!("### {} (`{}`)\n\n{HEAD}", sheet.title, sheet.trace.as_str());
    for row in rows {
        let Counts {
            fetched, written, ..
        } = row.counts;
        let others = rows
            .iter()
            .find(|other| other.size == row.size && other.plan == OTHERS)
            .context("a sheet without what others do")?
            .counts;
        writeln!(
            text,
            "| {} % | {} | {:.2} % | {:+.2} | {:.2} % | {} | {} | {:.0} % |",
            f64::from(row.size) / 10.0,
            row.plan.name(),
            row.counts.byte_ratio() * 100.0,
            (row.counts.byte_ratio() - others.byte_ratio()) * 100.0,
            row.counts.request_ratio() * 100.0,
            tebibytes(fetched),
            tebibytes(written),
            written as f64 / others.written as f64 * 100.0,
        )?;
    }
    Ok(text)
}

/// Pieces as a size that can be read.
pub(crate) fn tebibytes(pieces: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    let gib = (pieces * PIECE) as f64 / GIB;
    match 1024.0 <= gib {
        true => format!("{:.2} TiB", gib / 1024.0),
        false => format!("{gib:.1} GiB"),
    }
}

/// The page with these figures instead of those that it had.
pub(crate) fn replace(page: &str, figures: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no begin of the figures")?;
    let (_, after) = rest.split_once(END).context("no end of the figures")?;
    Ok(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_figures_are_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replace(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replace(&new, "new\n").unwrap(), new);
        assert!(replace("", "new").is_err());
    }
}
