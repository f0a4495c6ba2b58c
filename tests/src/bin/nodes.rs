//! What becomes of entities when cache nodes come and go, and how evenly viewers' requests fall on
//! nodes: the figures of docs/SCALE-OUT.md. Nothing is random; the entities are a million ids.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Result;
use clap::Parser;
use e2e::maglev::{PLACES, Table};

/// Computes Envoy's MAGLEV for fleets of cache nodes.
#[derive(Debug, Parser)]
struct Options {
    /// How many nodes the fleets have.
    #[arg(long, value_delimiter = ',', default_value = "3,10,100,1000", value_parser = clap::value_parser!(u32).range(2..))]
    nodes: Vec<u32>,
    /// How many places Envoy's table has; must be prime.
    #[arg(long, value_delimiter = ',', default_values_t = [PLACES, 1_000_003])]
    places: Vec<usize>,
    /// How many entities there are.
    #[arg(long, default_value_t = 1_000_000)]
    entities: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| places | nodes | largest share of the mean | one lost: moved of it | … of others \
         | one more: moved to it | … elsewhere | a tenth lost: moved of others |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|"
    )?;
    for &places in &options.places {
        for &nodes in &options.nodes {
            writeln!(out, "{}", movement(nodes, places))?;
        }
    }
    writeln!(
        out,
        "\n| popularity | nodes | most requested entity | busiest node, of the mean | … in two \
         groups of half the nodes |\n|---|---:|---:|---:|---:|"
    )?;
    for exponent in [0.8, 1.0] {
        for &nodes in &options.nodes {
            writeln!(out, "{}", load(nodes, exponent, options.entities))?;
        }
    }
    Ok(())
}

fn fleet(nodes: impl IntoIterator<Item = u32>, places: usize) -> Table {
    Table::new(nodes.into_iter().map(name), places)
}

fn name(node: u32) -> String {
    format!("node-{node}")
}

/// A row about a fleet that loses and gains nodes: percentages of all entities, which are spread
/// evenly over the places.
fn movement(nodes: u32, places: usize) -> String {
    let all = fleet(0..nodes, places);
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for node in all.nodes() {
        *shares.entry(node).or_default() += 1.0;
    }
    let largest = shares.values().copied().fold(0.0, f64::max);
    // Which node it is hardly matters: a mean over some.
    let lost: Vec<u32> = (0..nodes).step_by((nodes as usize).div_ceil(10)).collect();
    let (mut own, mut others) = (0, 0);
    for &gone in &lost {
        let less = fleet((0..nodes).filter(|&node| node != gone), places);
        own += moved(&all, &less, |from, _| from == name(gone));
        others += moved(&all, &less, |from, _| from != name(gone));
    }
    let more = fleet(0..nodes + 1, places);
    let tenth: Vec<String> = (0..nodes / 10).map(name).collect();
    let rest = fleet(nodes / 10..nodes, places);
    let percent = |count: usize| format!("{:.2} %", count as f64 / places as f64 * 100.0);
    format!(
        "| {places} | {nodes} | {:.4} | {} | {} | {} | {} | {} |",
        largest / places as f64 * f64::from(nodes),
        percent(own / lost.len()),
        percent(others / lost.len()),
        percent(moved(&all, &more, |_, to| to == name(nodes))),
        percent(moved(&all, &more, |_, to| to != name(nodes))),
        match tenth.len() {
            0 => "–".to_owned(),
            _ => percent(moved(&all, &rest, |from, _| !tenth
                .iter()
                .any(|node| node == from))),
        },
    )
}

/// How many places have moved from one node to another such that this is true of them.
fn moved(before: &Table, after: &Table, counts: impl Fn(&str, &str) -> bool) -> usize {
    let pairs = before.nodes().zip(after.nodes());
    let moved = pairs.filter(|(from, to)| from != to);
    moved.filter(|(from, to)| counts(from, to)).count()
}

/// A row about requests whose popularity follows Zipf's law.
fn load(nodes: u32, exponent: f64, entities: u64) -> String {
    let (all, half) = (fleet(0..nodes, PLACES), fleet(0..nodes / 2, PLACES));
    let (mut on_all, mut on_half) = (BTreeMap::new(), BTreeMap::new());
    let mut total = 0.0;
    for entity in 1..=entities {
        let requests = (entity as f64).powf(-exponent);
        // As even as an entity's id, which is a hash.
        let id = format!(
            "{:032x}",
            u128::from(entity).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        );
        *on_all.entry(all.node(&id)).or_insert(0.0) += requests;
        *on_half.entry(half.node(&id)).or_insert(0.0) += requests;
        total += requests;
    }
    let busiest = |on: &BTreeMap<&str, f64>| on.values().copied().fold(0.0, f64::max) / total;
    format!(
        "| {exponent:.1} | {nodes} | {:.2} % | {:.2} | {} |",
        100.0 / total,
        busiest(&on_all) * f64::from(nodes),
        match nodes % 2 {
            // Each group has half of the requests.
            0 => format!("{:.2}", busiest(&on_half) / 2.0 * f64::from(nodes)),
            _ => "–".to_owned(),
        },
    )
}
