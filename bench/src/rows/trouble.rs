//! What the viewer gets when the origin fails or changes in the middle.

use anyhow::Result;

use super::{MIB, settle};
use crate::client::{Ask, Client};
use crate::sheet::Sheet;
use crate::{Bench, VIEWCACHE};

const LENGTH: u64 = 8 * MIB;

/// The first MiB is stored where anything is; then the transfer of the rest is reset once.
pub(super) async fn reset(bench: &mut Bench) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let name = bench.fresh();
    let origin = bench.origin.clone();
    for subject in bench.subjects() {
        let name = format!("{name}-{}", subject.address.port());
        let mut client = Client::new(subject.address);
        client.get(&Ask::part(&name, LENGTH, 0, MIB)).await?;
        settle().await;
        origin.change(&name, |file| file.reset_after = Some(600 << 10));
        let ask = Ask {
            tolerant: true,
            ..Ask::whole(&name, LENGTH)
        };
        // A peer may cut it, or mix it up: that is what is asked.
        let got = client.get(&ask).await;
        let whole = got.is_ok_and(|got| got.whole && got.right);
        sheet.add("whole bodies", subject.name, f64::from(u8::from(whole)));
    }
    let whole = sheet.median("whole bodies", VIEWCACHE);
    sheet.at_least("whole bodies", whole, 1.0);
    Ok(sheet)
}

/// Half is stored of one version when another appears: how many of three viewers get it whole?
pub(super) async fn change(bench: &mut Bench) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let name = bench.fresh();
    let origin = bench.origin.clone();
    for subject in bench.subjects() {
        let name = format!("{name}-{}", subject.address.port());
        let mut client = Client::new(subject.address);
        client.get(&Ask::part(&name, LENGTH, 0, LENGTH / 2)).await?;
        settle().await;
        origin.change(&name, |file| file.version = 1);
        let mut new = 0;
        for _ in 0..3 {
            let ask = Ask {
                version: 1,
                tolerant: true,
                ..Ask::whole(&name, LENGTH)
            };
            // The old bytes, and a cut after them, are no new entity.
            let got = Client::new(subject.address).get(&ask).await;
            new += u8::from(got.is_ok_and(|got| got.whole && got.right));
        }
        sheet.add("new and whole, of 3", subject.name, f64::from(new));
    }
    let new = sheet.median("new and whole, of 3", VIEWCACHE);
    sheet.at_least("new and whole, of 3", new, 2.0);
    Ok(sheet)
}
