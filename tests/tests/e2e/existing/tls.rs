//! The examples with TLS. Another Envoy speaks it for the origin and for the viewers of these
//! tests, who do not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::checkout::Checkout;
use e2e::client::Request;
use e2e::content::Content;
use e2e::envoy_config::EnvoyConfig;
use e2e::origin::{Origin, Ranges, Script};
use e2e::poll::until;
use e2e::ports::Port;
use e2e::process::{Output, Process};
use e2e::stack::Profile;
use tokio::net::TcpStream;

use super::{WATCH, example, installed, run, shipped};
use crate::world::{MIB, SOON, World};

/// A certificate for `localhost` and the examples' names, its own authority.
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn make(folder: &Path) -> Self {
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        let names = "subjectAltName=DNS:localhost,DNS:media.example,DNS:media.internal";
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=viewcache-test", "-addext", names, "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&chain)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self { chain, key }
    }

    /// The example with this one instead of its own.
    fn put_into(&self, config: &mut EnvoyConfig) {
        let authorities = "/etc/ssl/certs/ca-certificates.crt";
        config.replace(authorities, self.chain.display()).unwrap();
    }

    fn put_before_viewers(&self, config: &mut EnvoyConfig) {
        let (chain, key) = ("/etc/ssl/site/fullchain.pem", "/etc/ssl/site/key.pem");
        config.replace(chain, self.chain.display()).unwrap();
        config.replace(key, self.key.display()).unwrap();
    }
}

/// Ends TLS before the origin, and begins it behind viewers.
struct Terminator {
    _process: Process,
    /// Where viewers connect, without TLS.
    front: SocketAddr,
}

impl Terminator {
    async fn start(
        folder: &Path,
        certificate: &Certificate,
        tls: &Port,
        origin: SocketAddr,
        site: SocketAddr,
    ) -> Self {
        let front = Port::shared(None).unwrap();
        let config = TERMINATOR
            .replace("CHAIN", &certificate.chain.display().to_string())
            .replace("KEY", &certificate.key.display().to_string())
            .replace("TLS_PORT", &tls.address.port().to_string())
            .replace("ORIGIN_PORT", &origin.port().to_string())
            .replace("FRONT_PORT", &front.address.port().to_string())
            .replace("SITE_PORT", &site.port().to_string());
        let path = folder.join("terminator.yaml");
        fs::write(&path, config).unwrap();
        let envoy = Checkout::find().unwrap().envoy().unwrap();
        let output = Output::Files(folder.to_owned());
        let path = path.display().to_string();
        let args = ["-c", &path, "--disable-hot-restart", "--concurrency", "1"];
        let process = Process::spawn("terminator", &envoy, args, &output).unwrap();
        for port in [front.address, tls.address] {
            let open = async || TcpStream::connect(port).await.ok();
            until("the terminator listens", SOON, open).await.unwrap();
        }
        Self {
            _process: process,
            front: front.address,
        }
    }
}

const TERMINATOR: &str = r#"
static_resources:
  listeners:
  - name: tls
    address: {socket_address: {address: 127.0.0.1, port_value: TLS_PORT}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - {certificate_chain: {filename: "CHAIN"}, private_key: {filename: "KEY"}}
      filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tls
          cluster: origin
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: FRONT_PORT}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: front
          cluster: site
  clusters:
  - name: origin
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN_PORT}}}
  - name: site
    load_assignment:
      cluster_name: site
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: SITE_PORT}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: media.example
        common_tls_context:
          validation_context:
            trusted_ca: {filename: "CHAIN"}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: media.example}}]
"#;

#[tokio::test]
async fn both_sides_may_speak_tls() {
    let folder = installed();
    let certificate = Certificate::make(folder.path());
    let origin = Origin::start().await.unwrap();
    let tls = Port::shared(None).unwrap();
    let mut config = example(folder.path(), &shipped("envoy/examples/tls.yaml"));
    config.backend("media.internal", tls.address).unwrap();
    certificate.put_into(&mut config);
    certificate.put_before_viewers(&mut config);
    let mut world = run(origin, config).await;
    let (origin, site) = (world.origin.address(), world.stack.ingress());
    let terminator = Terminator::start(folder.path(), &certificate, &tls, origin, site).await;
    world.front = Some(terminator.front);
    WATCH.works(&mut world).await;

    // Without TLS nobody gets anything.
    let plain = WATCH.request("film").send(site).await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn a_front_end_asks_video_hosts_and_no_others() {
    let folder = installed();
    let certificate = Certificate::make(folder.path());
    let origin = Origin::start().await.unwrap();
    let tls = Port::shared(None).unwrap();
    let mut config = example(folder.path(), &shipped("envoy/examples/youtube.yaml"));
    let host = format!("localhost:{}", tls.address.port());
    config.replace(VIDEO_HOSTS, &host).unwrap();
    config
        .backend("front-end.internal", origin.address())
        .unwrap();
    certificate.put_into(&mut config);
    let world = World::before(origin, |options| {
        options.own = Some(config);
        options.profile = Profile::Youtube;
        options.filter_fields = Some(r#""decide_timeout": "5s""#.to_owned());
    });
    let world = world.await;
    let (origin, site) = (world.origin.address(), world.stack.ingress());
    let _terminator = Terminator::start(folder.path(), &certificate, &tls, origin, site).await;

    let content = Content::new("youtube", MIB);
    let script = Script {
        ranges: Ranges::InQuery,
        ..Script::new(content)
    };
    world.origin.script("/videoplayback", script);
    let url = |itag: u32, host: &str| {
        let path = format!("/videoplayback?v=abc&itag={itag}&lmt=17&clen={MIB}&sig=s");
        Request::get(&format!("{path}&host={host}")).field("cookie", "who=me")
    };
    let first = world.view(&url(22, &host), content).await;
    first.expect(200, &["fwd=uri-miss", "stored"]);
    let key = format!("v=abc&itag=22&lmt=17&clen={MIB}");
    world.stored(&key, &[(0, MIB)]).await;
    world.hit(&url(22, &host), content).await;
    let begun = url(23, &host).range("0-99999");
    world.view(&begun, content).await.expect(206, &["stored"]);
    let key = format!("v=abc&itag=23&lmt=17&clen={MIB}");
    world.stored(&key, &[(0, 100_000)]).await;
    let whole = world.view(&url(23, &host), content).await;
    whole.expect(200, &["fwd=partial", "stored"]);
    for seen in world.origin.seen("/videoplayback") {
        assert_eq!(seen.head.get("host"), Some(&host[..]));
        for told in ["cookie", "x-forwarded-for", "x-video-host"] {
            assert_eq!(seen.head.get(told), None, "{:?}", seen.head);
        }
    }

    let before = world.origin.seen_at_all().len();
    for other in [
        "evil.example",
        &format!("{host}.evil.example"),
        &format!("evil.example&host={host}"),
        "",
    ] {
        let view = world.open(&url(24, other)).await;
        assert_eq!(view.status, 403, "{other}");
    }
    assert_eq!(world.origin.seen_at_all().len(), before);
}

/// What the example lets through: YouTube's.
const VIDEO_HOSTS: &str = r"[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,63})?\\.googlevideo\\.com";
