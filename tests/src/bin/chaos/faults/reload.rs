//! The filter, loaded anew by ECDS while it works.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::checkout::Checkout;
use e2e::envoy_config::{EnvoyConfig, OriginUrl};
use e2e::management::envoy_stat;
use e2e::poll::until;

use super::{Act, Needs, Plan, limits};
use crate::stage::{Kind, Stage};
use crate::verdict::Excuse;

pub(crate) const PLANS: &[Plan] = &[Plan {
    name: "filter-reload",
    what: "another configuration of the filter is loaded by ECDS each 2 s",
    act: Act::Reload,
    kind: Kind::Reloading,
    needs: Needs::Nothing,
    lasts: Duration::from_secs(8),
    excuse: Excuse::Nothing,
    limits: limits(500, 1_500, 2_000),
    short: false,
}];

const FILE: &str = "filter.yaml";
/// What each loading changes.
const CHANGED: &str = r#""chunk_min": ""#;
const STAT: &str = "extension_config_discovery.http_filter.viewcache.update_success";

/// The shipped configuration with the filter in the file that the guide has for that.
pub(crate) fn config(folder: &Path, origin: &OriginUrl) -> Result<EnvoyConfig> {
    let checkout = Checkout::find()?;
    let read =
        |name: &str| fs::read_to_string(checkout.path(name)).with_context(|| name.to_owned());
    let shipped = read("envoy/envoy.yaml")?;
    let (before, rest) = shipped
        .split_once("          - name: viewcache\n")
        .context("envoy.yaml: no filter")?;
    let (_, after) = rest
        .split_once("          - name: envoy.filters.http.router\n")
        .context("envoy.yaml: no router")?;
    let listeners = read("envoy/existing/listeners.yaml")?;
    let (_, rest) = listeners
        .split_once("          config_discovery:\n")
        .context("listeners.yaml: no config_discovery")?;
    let (discovery, _) = rest
        .split_once("        - &strip\n")
        .context("listeners.yaml: no strip")?;
    let indented: String = discovery
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let envoy = format!(
        "node: {{id: chaos, cluster: chaos}}\n{before}          - name: viewcache\n            config_discovery:\n{indented}          - name: envoy.filters.http.router\n{after}"
    );
    let folder = folder.join("envoy");
    fs::create_dir(&folder)?;
    fs::write(folder.join("envoy.yaml"), envoy)?;
    fs::write(folder.join(FILE), read("envoy/existing/filter.yaml")?)?;
    fs::copy(
        checkout.product("viewcache.wasm")?,
        folder.join("viewcache.wasm"),
    )?;
    let mut config = EnvoyConfig::installed(&folder)?;
    config.origin(origin)?;
    Ok(config)
}

/// Writes the file anew, once in so many calls.
pub(super) fn reload(stage: &mut Stage) -> Result<()> {
    stage.turns += 1;
    if !stage.turns.is_multiple_of(8) {
        return Ok(());
    }
    let folder = stage.folder().join("envoy");
    let text = fs::read_to_string(folder.join(FILE))?;
    let changed = match text.split_once(CHANGED) {
        Some((before, rest)) => {
            let (_, after) = rest.split_once("KiB").context("no KiB")?;
            format!("{before}{CHANGED}{}KiB{after}", 64 + stage.turns)
        }
        None => text.replace(
            r#""profile": "generic""#,
            r#""profile": "generic", "chunk_min": "65KiB""#,
        ),
    };
    // Envoy sees a rename, and nothing else.
    fs::write(folder.join(".new"), changed)?;
    fs::rename(folder.join(".new"), folder.join(FILE))?;
    Ok(())
}

/// How often it was loaded.
pub(super) async fn reloaded(stage: &Stage) -> Result<Option<String>> {
    let expected = 1 + u64::from(stage.turns / 8);
    let all = until("every file is loaded", Duration::from_secs(5), async || {
        let count = envoy_stat(stage.stack.admin(), STAT).await.ok()?;
        (expected <= count).then_some(count)
    });
    Ok(Some(format!("loaded {} times", all.await? - 1)))
}
