//! The figures as a drawing, for light and dark pages.

use std::fmt::{self, Write};

use crate::plan::{Counts, Plan};
use crate::report::Row;
use crate::sheets::{SIZES, lines};

const STYLE: &str = "\
text { font: 13px sans-serif; fill: #333 } .axis { stroke: #888; stroke-width: 1 }
.grid { stroke: #888; stroke-opacity: .3 } .line { fill: none; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }";

/// Of each line the color, readable on white and on black, and the dashes.
const STROKES: [(&str, &str); 8] = [
    ("#808080", ""),
    ("#b07d2b", "2 4"),
    ("#3d8bd9", "8 4"),
    ("#c2557a", "2 4"),
    ("#9a6fd0", "8 4"),
    ("#d9662b", ""),
    ("#2a9d6a", "8 4"),
    ("#2a9d6a", ""),
];

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;
const APART: f64 = 420.0;

/// Between two lines of the grid, in percent.
const STEP: f64 = 10.0;

/// One of the two diagrams.
struct Panel {
    title: &'static str,
    left: f64,
    least: f64,
    most: f64,
    value: fn(&Counts) -> f64,
}

/// Byte hit ratio and bytes written over the size of the cache.
pub(crate) fn draw(rows: &[Row]) -> Result<String, fmt::Error> {
    let written: fn(&Counts) -> f64 =
        |counts| counts.written as f64 / counts.requested as f64 * 100.0;
    let panels = [
        Panel::new("Byte hit ratio", 0, rows, |counts| {
            counts.byte_ratio() * 100.0
        }),
        Panel::new("Bytes written per byte requested", 1, rows, written),
    ];
    let (width, height) = (LEFT + APART + WIDTH + 30.0, TOP + HEIGHT + 140.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Byte hit ratio and bytes written over the size of the cache\">\n\
         <style>{STYLE}</style>\n"
    );
    for panel in &panels {
        panel.draw(&mut svg, rows)?;
    }
    for (at, ((_, name), (color, dashes))) in lines().iter().zip(STROKES).enumerate() {
        let x = LEFT + 265.0 * (at % 3) as f64;
        let y = TOP + HEIGHT + 70.0 + 24.0 * (at / 3) as f64;
        writeln!(
            svg,
            "<path class=\"line\" stroke=\"{color}\" stroke-dasharray=\"{dashes}\" d=\"M{x} {y}h36\"/>\
             <text x=\"{}\" y=\"{}\">{name}</text>",
            x + 44.0,
            y + 4.0
        )?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Where a size stands, of a width of 1: the scale is logarithmic.
fn place(size: u16) -> f64 {
    let (first, last) = (f64::from(SIZES[0]), f64::from(SIZES[SIZES.len() - 1]));
    (f64::from(size) / first).ln() / (last / first).ln()
}

impl Panel {
    fn new(title: &'static str, at: u8, rows: &[Row], value: fn(&Counts) -> f64) -> Self {
        let lines = lines();
        let drawn = |row: &&Row| lines.iter().any(|&(plan, _)| plan == row.plan);
        let values = rows.iter().filter(drawn).map(|row| value(&row.counts));
        let (least, most) = values.fold((100.0_f64, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        Self {
            title,
            left: LEFT + APART * f64::from(at),
            least: (least / STEP).floor() * STEP,
            most: (most / STEP).ceil() * STEP,
            value,
        }
    }

    fn draw(&self, svg: &mut String, rows: &[Row]) -> fmt::Result {
        let (left, right) = (self.left, self.left + WIDTH);
        let bottom = TOP + HEIGHT;
        writeln!(svg, "<text x=\"{left}\" y=\"22\">{}</text>", self.title)?;
        let mut at = self.least;
        while at <= self.most {
            let y = self.height(at);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{at} %</text>",
                left - 6.0,
                y + 4.0
            )?;
            at += STEP;
        }
        for size in SIZES {
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{} %</text>",
                left + WIDTH * place(size),
                bottom + 20.0,
                f64::from(size) / 10.0
            )?;
        }
        writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {bottom}H{right}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">room, of the catalogue's bytes</text>",
            left + WIDTH / 2.0,
            bottom + 40.0
        )?;
        for ((plan, _), (color, dashes)) in lines().iter().zip(STROKES) {
            let points = self.points(rows, *plan);
            writeln!(
                svg,
                "<polyline class=\"line\" stroke=\"{color}\" stroke-dasharray=\"{dashes}\" \
                 points=\"{points}\"/>"
            )?;
        }
        Ok(())
    }

    fn height(&self, value: f64) -> f64 {
        TOP + HEIGHT * (self.most - value) / (self.most - self.least)
    }

    fn points(&self, rows: &[Row], plan: Plan) -> String {
        let of_plan = rows.iter().filter(|row| row.plan == plan);
        let points = of_plan.map(|row| {
            let x = self.left + WIDTH * place(row.size);
            format!("{x:.1},{:.1}", self.height((self.value)(&row.counts)))
        });
        points.collect::<Vec<_>>().join(" ")
    }
}
