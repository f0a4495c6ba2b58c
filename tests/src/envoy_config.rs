//! A shipped Envoy configuration with other addresses: `envoy/envoy.yaml`, or an example with the
//! files that it names. Each literal that is replaced must be there exactly as often as expected,
//! so what runs is what is shipped and nothing else.

mod node;
mod origin_url;
mod pieces;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::stack::write_private;
pub use node::Node;
pub use origin_url::OriginUrl;
use pieces::{Socket, admin_cluster, endpoint, stats_listener, transport_socket};

/// The text of an Envoy configuration.
#[derive(Clone, Debug)]
pub struct EnvoyConfig {
    /// Envoy's own file, then those beside it.
    files: Vec<File>,
    /// Where they are, if not in one file alone.
    folder: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    text: String,
}

impl EnvoyConfig {
    /// The shipped file.
    pub fn shipped(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self::new(text))
    }

    fn new(text: String) -> Self {
        let name = "envoy.yaml".to_owned();
        Self {
            files: vec![File { name, text }],
            folder: None,
        }
    }

    /// `envoy.yaml` in a folder and the files beside it, which say that they are in
    /// `/etc/viewcache`.
    pub fn installed(folder: &Path) -> Result<Self> {
        let mut config = Self::shipped(&folder.join("envoy.yaml"))?;
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".yaml") && name != "envoy.yaml" {
                let text = std::fs::read_to_string(folder.join(&name))?;
                config.files.push(File { name, text });
            }
        }
        let here = format!("{}/", folder.display());
        for file in &mut config.files {
            file.text = file.text.replace("/etc/viewcache/", &here);
        }
        config.folder = Some(folder.to_owned());
        Ok(config)
    }

    /// Writes the files, to where they came from if they are installed; says which one is Envoy's.
    pub fn write(&self, otherwise: &Path) -> Result<PathBuf> {
        let folder = self.folder.as_deref().unwrap_or(otherwise);
        for File { name, text } in &self.files {
            let path = folder.join(name);
            write_private(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(folder.join("envoy.yaml"))
    }

    /// Replaces a literal that must be there once.
    pub fn replace(&mut self, literal: &str, new: impl fmt::Display) -> Result<&mut Self> {
        self.replace_all(literal, 1, new)
    }

    fn replace_all(
        &mut self,
        literal: &str,
        count: usize,
        new: impl fmt::Display,
    ) -> Result<&mut Self> {
        let found = self.count(literal);
        if found != count {
            bail!("the Envoy configuration has {literal:?} {found} times, expected {count}");
        }
        for file in &mut self.files {
            file.text = file.text.replace(literal, &new.to_string());
        }
        Ok(self)
    }

    fn count(&self, literal: &str) -> usize {
        let count = |file: &File| file.text.matches(literal).count();
        self.files.iter().map(count).sum()
    }

    /// Takes out of Envoy's own file what begins with a literal, up to the next empty line.
    fn cut(&mut self, literal: &str) -> Result<()> {
        let text = &mut self.files[0].text;
        let begin = text.find(literal);
        let begin = begin.with_context(|| format!("the Envoy configuration has no {literal:?}"))?;
        let rest = &text[begin..];
        let end = begin + rest.find("\n\n").map_or(rest.len(), |blank| blank + 1);
        text.replace_range(begin..end, "");
        Ok(())
    }

    /// What viewers connect to.
    pub fn ingress(&mut self, address: SocketAddr) -> Result<&mut Self> {
        self.replace("{address: 0.0.0.0, port_value: 10000}", Socket(address))
    }

    /// What the sidecar reads the origin through. Where it is a cluster's endpoint too, the same.
    pub fn egress(&mut self, address: SocketAddr) -> Result<&mut Self> {
        let shipped = "{address: 127.0.0.1, port_value: 10001}";
        let count = self.count(shipped).max(1);
        self.replace_all(shipped, count, Socket(address))
    }

    /// Envoy's own interface.
    pub fn admin(&mut self, address: SocketAddr) -> Result<&mut Self> {
        self.replace("{address: 127.0.0.1, port_value: 9901}", Socket(address))
    }

    /// The filter.
    pub fn wasm(&mut self, path: &Path) -> Result<&mut Self> {
        self.replace("/etc/viewcache/viewcache.wasm", path.display())
    }

    /// The filter's configuration, JSON on one line.
    pub fn filter(&mut self, json: &str) -> Result<&mut Self> {
        self.replace(r#"{"profile": "generic"}"#, json)
    }

    /// The data ports of sidecars on this host, as many as there are.
    pub fn sidecars(&mut self, addresses: &[SocketAddr]) -> Result<&mut Self> {
        if let [only] = addresses {
            let count = self.count(SHIPPED_NODE).max(1);
            return self.replace_all(SHIPPED_NODE, count, Socket(*only));
        }
        let nodes = addresses.iter().enumerate();
        let nodes: Vec<_> = nodes
            .map(|(number, at)| Node::numbered(number, *at))
            .collect();
        self.nodes(&nodes)
    }

    /// The sidecars, wherever they are, each with the name by which its entities find it.
    pub fn nodes(&mut self, nodes: &[Node]) -> Result<&mut Self> {
        let lines = || self.files.iter().flat_map(|file| file.text.lines());
        let Some(line) = lines().find(|line| line.contains(SHIPPED_NODE)) else {
            bail!("the Envoy configuration has no {SHIPPED_NODE:?}");
        };
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let shipped = endpoint(&indent, &SHIPPED_NODE, "node-0", "");
        let all = nodes.iter().map(|Node { name, host, port }| {
            let address = format!("{{address: \"{host}\", port_value: {port}}}");
            endpoint(&indent, &address, name, "")
        });
        let all: String = all.collect();
        self.replace(&shipped, all)
    }

    /// The egress listener forwards for those who show the secret, and refuses all others.
    pub fn guard_egress(&mut self, secret: &str) -> Result<&mut Self> {
        let shown = format!(
            "headers: [{{name: x-viewcache-secret, string_match: {{exact: \"{secret}\"}}}}]"
        );
        let open = "              - match: {prefix: \"/\"}\n                route:\n";
        let guarded =
            format!("              - match: {{prefix: \"/\", {shown}}}\n                route:\n");
        self.replace(open, guarded)?;
        // Where the listener's only route ends.
        let end = "                    num_retries: 1\n          http_filters:\n";
        let refused = "                    num_retries: 1\n              \
                       - match: {prefix: \"/\"}\n                \
                         direct_response: {status: 403}\n          http_filters:\n";
        self.replace(end, refused)
    }

    /// One more listener, for whoever collects metrics: Envoy's own interface would let them stop
    /// Envoy, this one shows `/stats/prometheus` and nothing else of it.
    pub fn stats(&mut self, address: SocketAddr, admin: SocketAddr) -> Result<&mut Self> {
        let clusters = "\n  clusters:\n";
        let (listener, cluster) = (stats_listener(address), admin_cluster(admin));
        self.replace(clusters, format!("\n{listener}{clusters}\n{cluster}"))
    }

    /// A server that an example names, on its port 8080.
    pub fn backend(&mut self, name: &str, address: SocketAddr) -> Result<&mut Self> {
        let shipped = format!("{{address: {name}, port_value: 8080}}");
        self.replace(&shipped, Socket(address))
    }

    /// The sidecars are those that a file names, in the form of [`nodes_file`]; Envoy follows it.
    pub fn nodes_from(&mut self, file: &Path) -> Result<&mut Self> {
        // Envoy wants to be named before it reads endpoints from elsewhere.
        self.files[0]
            .text
            .insert_str(0, "node: {id: stack, cluster: stack}\n");
        for cluster in ["viewcache_decide", "viewcache_ingest", "viewcache_serve"] {
            let name = format!("  - name: {cluster}\n");
            let lines = NODES_FROM_A_FILE.replace(NODES_FILE, &file.display().to_string());
            let dns = format!("{name}    type: STRICT_DNS\n");
            self.replace(&dns, format!("{name}{lines}"))?;
            self.cut(&format!(
                "    load_assignment:\n      cluster_name: {cluster}\n"
            ))?;
        }
        Ok(self)
    }

    /// The origin. With TLS it is asked under its own name, because its certificate and its
    /// virtual hosts know no other.
    pub fn origin(&mut self, origin: &OriginUrl) -> Result<&mut Self> {
        let OriginUrl { tls, host, port } = origin;
        let socket = format!("{{address: \"{host}\", port_value: {port}}}");
        self.replace("{address: origin, port_value: 8080}", socket)?;
        if !tls {
            return Ok(self);
        }
        let cluster = "  - name: origin\n    type: STRICT_DNS\n";
        self.replace(cluster, format!("{cluster}{}", transport_socket(host)))?;
        let rewrite = format!("cluster: origin, host_rewrite_literal: \"{host}\",");
        self.replace_all("cluster: origin,", 2, rewrite)?;
        let line = "\n                  cluster: origin\n";
        self.replace(
            line,
            format!("{line}                  host_rewrite_literal: \"{host}\"\n"),
        )
    }

    /// The text of Envoy's own file.
    pub fn text(&self) -> &str {
        self.files.first().map_or("", |file| &file.text)
    }
}

/// The shipped file's only node.
const SHIPPED_NODE: &str = "{address: 127.0.0.1, port_value: 7071}";

/// Where the shipped `envoy/nodes.yaml` is expected.
const NODES_FILE: &str = "/etc/viewcache/nodes.yaml";

/// What makes a cluster's endpoints those of a file; `docs/SCALE-OUT.md` shows the same.
const NODES_FROM_A_FILE: &str = "    type: EDS
    eds_cluster_config:
      service_name: viewcache_sidecars
      eds_config: {path_config_source: {path: /etc/viewcache/nodes.yaml}}
    # Otherwise a node that is taken out of the file stays for as long as it is healthy.
    ignore_health_on_host_removal: true
";

/// A file of nodes in the form of the shipped one: each with its number, which names it whatever
/// its address, and whether it is to be left alone.
///
/// # Errors
/// When the shipped file is not what it is expected to be.
pub fn nodes_file(shipped: &Path, nodes: &[(usize, SocketAddr, bool)]) -> Result<String> {
    let mut config = EnvoyConfig::shipped(shipped)?;
    let all: String = nodes
        .iter()
        .map(|(node, address, drained)| {
            let status = match drained {
                true => "      health_status: DRAINING\n",
                false => "",
            };
            endpoint("    ", &Socket(*address), &format!("node-{node}"), status)
        })
        .collect();
    config.replace(&endpoint("    ", &SHIPPED_NODE, "node-0", ""), all)?;
    Ok(config.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::Checkout;

    #[test]
    fn every_literal_is_in_the_shipped_file() {
        for origin in ["http://127.0.0.1:1", "https://media.example"] {
            let path = Checkout::find().unwrap().path("envoy/envoy.yaml");
            let mut config = EnvoyConfig::shipped(&path).unwrap();
            let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
            config
                .ingress(address(1))
                .unwrap()
                .egress(address(2))
                .unwrap();
            config
                .admin(address(3))
                .unwrap()
                .wasm(Path::new("/w"))
                .unwrap();
            config
                .filter("{}")
                .unwrap()
                .sidecars(&[address(4), address(5)])
                .unwrap()
                .stats(address(6), address(3))
                .unwrap()
                .guard_egress("secret")
                .unwrap();
            config.origin(&origin.parse().unwrap()).unwrap();
            assert!(config.text().contains("hash_key: node-1"));
        }
    }

    #[test]
    fn nodes_come_from_a_file() {
        let checkout = Checkout::find().unwrap();
        let mut config = EnvoyConfig::shipped(&checkout.path("envoy/envoy.yaml")).unwrap();
        config.nodes_from(Path::new("/n.yaml")).unwrap();
        assert_eq!(config.text().matches("{path: /n.yaml}").count(), 3);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let nodes = [(0, address, false), (7, address, true)];
        let file = nodes_file(&checkout.path("envoy/nodes.yaml"), &nodes).unwrap();
        assert!(file.contains("hash_key: node-0") && file.contains("hash_key: node-7"));
        assert_eq!(file.matches("health_status: DRAINING\n").count(), 1);
        let guide = std::fs::read_to_string(checkout.path("docs/SCALE-OUT.md")).unwrap();
        assert!(
            guide.contains(NODES_FROM_A_FILE),
            "the guide says it otherwise"
        );
    }

    #[test]
    fn origins() {
        let check = |text: &str, expect: Option<(bool, &str, u16)>| {
            let parsed = text.parse::<OriginUrl>().ok();
            let expect = expect.map(|(tls, host, port)| OriginUrl {
                tls,
                host: host.into(),
                port,
            });
            assert_eq!(parsed, expect, "{text}");
        };
        check("http://a:8080", Some((false, "a", 8080)));
        check("http://a/", Some((false, "a", 80)));
        check("https://a.example", Some((true, "a.example", 443)));
        check("http://[::1]:9", Some((false, "::1", 9)));
        check("http://[::1]", Some((false, "::1", 80)));
        check("http://a/b", None);
        check("a:80", None);
        check("http://a:x", None);
    }
}
