//! The addresses of a stack's parts.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};

use super::Options;
use crate::ports::{self, Port};

/// Every address of a stack.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) ingress: Port,
    pub(super) egress: Port,
    pub(super) admin: Port,
    pub(super) nodes: Vec<Node>,
}

/// One sidecar's addresses, and how it stands with Envoy.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) data: Port,
    pub(super) manage: Port,
    pub(super) standing: Standing,
}

/// How a node stands in the file that Envoy has them from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has its share of the entities.
    Member,
    /// It finishes what it has begun and gets nothing new.
    Draining,
    /// It is not there.
    Gone,
}

impl Node {
    pub(super) fn choose(manage: Option<SocketAddr>) -> Result<Self> {
        Ok(Self {
            data: Port::exclusive(None)?,
            manage: Port::exclusive(manage).context("manage")?,
            standing: Standing::Member,
        })
    }
}

impl Ports {
    pub(super) fn choose(options: &Options) -> Result<Self> {
        let node = |index| Node::choose(options.manage.filter(|_| index == 0));
        Ok(Self {
            ingress: Port::shared(options.listen).context("listen")?,
            egress: Port::shared(None)?,
            admin: Port::exclusive(None)?,
            nodes: (0..options.sidecars).map(node).collect::<Result<_>>()?,
        })
    }

    /// Whether somebody else has taken a port between its release and the start of the process
    /// that it is for.
    pub(super) fn lost(&mut self) -> bool {
        let nodes = self.nodes.iter_mut();
        nodes
            .flat_map(|node| [&mut node.data, &mut node.manage])
            .chain([&mut self.admin])
            .any(|port| {
                port.release();
                ports::check_free(port.address).is_err()
            })
    }
}

/// Where to connect to for an address to listen on.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}
