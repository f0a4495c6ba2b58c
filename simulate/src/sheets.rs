//! What is measured: on which trace, with how much room, by which policies.

use viewcache_sidecar::policy::Enough;

use crate::plan::{Eviction, Plan, Rules};
use crate::trace::Trace;

/// Thousandths of the catalogue's bytes that the cache may have.
pub(crate) const SIZES: [u16; 5] = [1, 5, 10, 20, 50];

/// The one where only one is measured.
const SIZE: u16 = 10;

/// One table.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) title: &'static str,
    pub(crate) trace: Trace,
    pub(crate) sizes: &'static [u16],
    /// The first is what the others are compared with.
    pub(crate) plans: Vec<Plan>,
}

/// What others do, and what the rest is compared with.
pub(crate) const OTHERS: Plan = Plan::Entities;

/// All tables.
pub(crate) fn all() -> Vec<Sheet> {
    let sheet = |title, trace, plans| Sheet {
        title,
        trace,
        sizes: &[SIZE],
        plans,
    };
    let mut sheets = vec![Sheet {
        title: "The mixed trace",
        trace: Trace::Mixed,
        sizes: &SIZES,
        plans: policies(),
    }];
    for (title, trace) in [
        ("Everybody watches all of it", Trace::Zipf),
        ("People leave early", Trace::Leavers),
        ("Scanners beside them", Trace::Scan),
        ("New releases beside them", Trace::Burst),
    ] {
        sheets.push(sheet(title, trace, policies()));
    }
    for (title, rules) in [
        ("The percentage that has to be watched", percentages()),
        ("The share of what is provisional", shares()),
        ("The stage in memory", stages()),
        ("How many have to come", viewers()),
        ("How fast what is new displaces what is not", turnovers()),
    ] {
        let watched = rules.into_iter().map(Plan::Watched);
        let plans = std::iter::once(OTHERS).chain(watched).collect();
        sheets.push(sheet(title, Trace::Mixed, plans));
    }
    let plans = vec![
        OTHERS,
        remembering(0, 2),
        remembering(3, 2),
        remembering(10, 2),
        remembering(30, 2),
        remembering(30, 3),
    ];
    sheets.push(sheet("Who watched is remembered", Trace::Mixed, plans));
    sheets
}

/// One viewer has to watch a tenth; the pools keep to their shares, and nothing is remembered.
fn strict() -> Rules {
    Rules {
        enough: Enough::Percent(10),
        viewers: 0,
        memory: 0,
        lend: false,
        turnover: 0,
        ..Rules::default()
    }
}

/// So much of the room, in thousandths, in memory for what is provisional; none on the disk.
fn staged(part: u16) -> Rules {
    Rules {
        share: 0,
        stage: Some(part),
        ..strict()
    }
}

/// The second viewer admits, with a stage in memory once the disk is full.
fn second(part: u16) -> Rules {
    Rules {
        enough: Enough::Never,
        viewers: 2,
        lend: true,
        ..staged(part)
    }
}

/// For those who have many viewers: the second one admits, and pools lend.
fn crowd() -> Rules {
    Rules {
        enough: Enough::Never,
        viewers: 2,
        lend: true,
        turnover: 100,
        ..Rules::default()
    }
}

/// The second viewer admits; provisional bytes are on the disk, also in room that is not needed.
fn lending() -> Rules {
    Rules {
        enough: Enough::Never,
        viewers: 2,
        lend: true,
        ..strict()
    }
}

/// What came out best: most hits, and few writes.
pub(crate) fn best() -> Plan {
    remembering(10, 2)
}

/// The second viewer admits, or a later one; who came is remembered of so many percent of the entities.
fn remembering(memory: u8, viewers: u8) -> Plan {
    Plan::Watched(Rules {
        viewers,
        memory,
        eviction: Eviction::S3Fifo,
        ..second(5)
    })
}

/// The policies that are compared on every trace.
fn policies() -> Vec<Plan> {
    let by = |rules: Rules, eviction| Plan::Watched(Rules { eviction, ..rules });
    vec![
        OTHERS,
        Plan::WholeFiles,
        Plan::Segments(Eviction::Lru),
        Plan::Segments(Eviction::Sieve),
        Plan::Segments(Eviction::S3Fifo),
        Plan::Segments(Eviction::Tails),
        by(Rules::default(), Eviction::Lru),
        by(Rules::default(), Eviction::S3Fifo),
        by(crowd(), Eviction::Lru),
        by(strict(), Eviction::Lru),
        by(strict(), Eviction::Sieve),
        by(strict(), Eviction::S3Fifo),
        by(strict(), Eviction::Tails),
        by(staged(5), Eviction::Lru),
        by(staged(5), Eviction::S3Fifo),
        by(lending(), Eviction::S3Fifo),
        by(second(5), Eviction::Lru),
        by(second(5), Eviction::S3Fifo),
        by(second(5), Eviction::Tails),
        best(),
    ]
}

/// The lines of the plot.
pub(crate) fn lines() -> [(Plan, &'static str); 8] {
    [
        (OTHERS, "everything, entity LRU"),
        (Plan::Segments(Eviction::Lru), "everything, segment LRU"),
        (Plan::Segments(Eviction::S3Fifo), "everything, S3-FIFO"),
        (Plan::Watched(strict()), "watched 10 %, LRU"),
        (Plan::Watched(Rules::default()), "the sidecar"),
        (Plan::Watched(crowd()), "the sidecar with 2 viewers"),
        (remembering(0, 2), "2 viewers, in memory, S3-FIFO"),
        (best(), "the same, remembered"),
    ]
}

fn percentages() -> Vec<Rules> {
    let mut all = vec![Rules {
        enough: Enough::Percent(0),
        share: 0,
        ..strict()
    }];
    for percent in [0, 2, 5, 10, 20, 50] {
        all.push(Rules {
            enough: Enough::Percent(percent),
            ..strict()
        });
    }
    all
}

fn shares() -> Vec<Rules> {
    let with = |share| Rules { share, ..strict() };
    let mut all: Vec<Rules> = [2, 5, 10, 20].map(with).into();
    let lend = |share| Rules {
        lend: true,
        ..with(share)
    };
    all.extend([2, 5, 10, 20].map(lend));
    all
}

fn stages() -> Vec<Rules> {
    let parts = [1, 2, 5, 10, 20];
    let mut all: Vec<Rules> = parts.map(staged).into();
    all.extend(parts.map(second));
    all
}

fn turnovers() -> Vec<Rules> {
    let parts = [0, 10, 30, 100, 300, 1000, 3000];
    let with = |rules: Rules| parts.map(|turnover| Rules { turnover, ..rules });
    let mut all = with(Rules::default()).to_vec();
    all.extend(with(crowd()));
    for memory in [0, 1, 10, 30] {
        all.extend([Rules::default(), crowd()].map(|rules| Rules { memory, ..rules }));
    }
    all.push(Rules {
        viewers: 3,
        ..crowd()
    });
    all
}

fn viewers() -> Vec<Rules> {
    let disk = |enough, viewers| Rules {
        enough,
        viewers,
        ..strict()
    };
    let memory = |viewers, memory| Rules {
        viewers,
        memory,
        ..second(5)
    };
    vec![
        disk(Enough::Percent(10), 2),
        disk(Enough::Percent(50), 2),
        disk(Enough::Percent(100), 2),
        disk(Enough::Never, 2),
        disk(Enough::Never, 3),
        Rules {
            lend: true,
            ..disk(Enough::Never, 2)
        },
        memory(2, 0),
        memory(3, 0),
        memory(2, 10),
        memory(3, 10),
    ]
}
