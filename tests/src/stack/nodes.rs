//! Cache nodes that come and go while Envoy runs.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::addresses::Node;
use super::{START, Stack, Standing};
use crate::envoy_config::nodes_file;
use crate::management;
use crate::poll::until;

impl Stack {
    /// Starts one more sidecar and makes it a member. Its number comes back.
    pub async fn add_sidecar(&mut self) -> Result<usize> {
        let node = self.ports.nodes.len();
        self.ports.nodes.push(Node::choose(None)?);
        self.sidecars.push(None);
        self.start_sidecar(node).await?;
        self.write_nodes()?;
        Ok(node)
    }

    /// Gives a sidecar that does not run another data port; Envoy is told.
    pub fn move_sidecar(&mut self, node: usize) -> Result<()> {
        self.ports.nodes[node].data = Node::choose(None)?.data;
        self.write_nodes()
    }

    /// Changes how a node stands.
    pub fn set_standing(&mut self, node: usize, standing: Standing) -> Result<()> {
        self.ports.nodes[node].standing = standing;
        self.write_nodes()
    }

    /// Waits until every cluster has so many nodes to choose from.
    pub async fn healthy(&self, nodes: usize) -> Result<()> {
        for cluster in ["viewcache_decide", "viewcache_ingest", "viewcache_serve"] {
            let stat = format!("cluster.{cluster}.membership_healthy");
            let all = async || {
                let healthy = management::envoy_stat(self.admin(), &stat).await.ok()?;
                (healthy == nodes as u64).then_some(())
            };
            until(&format!("{stat} is {nodes}"), START, all).await?;
        }
        Ok(())
    }

    /// Waits until no request of Envoy's is under way at a node.
    pub async fn idle(&self, node: usize) -> Result<()> {
        let active = format!("::{}::rq_active::", self.ports.nodes[node].data.address);
        let none = async || {
            let clusters = management::get(self.admin(), "/clusters").await.ok()?;
            let counts = clusters
                .lines()
                .filter_map(|line| Some(line.split_once(&active)?.1));
            counts.clone().all(|count| count == "0").then_some(())
        };
        until(&format!("node {node} is idle"), START, none).await
    }

    pub(super) fn nodes_file(&self) -> PathBuf {
        self.folder.path().join("nodes.yaml")
    }

    /// In one step, and by a rename: Envoy sees no other change of the file.
    pub(super) fn write_nodes(&self) -> Result<()> {
        let nodes = self.ports.nodes.iter().enumerate();
        let listed: Vec<_> = nodes
            .filter(|(_, node)| node.standing != Standing::Gone)
            .map(|(number, node)| {
                let drained = node.standing == Standing::Draining;
                (number, node.data.address, drained)
            })
            .collect();
        let text = nodes_file(&self.checkout.path("envoy/nodes.yaml"), &listed)?;
        let new = self.folder.path().join("nodes.yaml.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.nodes_file())?)
    }
}
