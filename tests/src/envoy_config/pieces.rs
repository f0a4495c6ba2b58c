//! What is written into a configuration.

use std::fmt;
use std::net::SocketAddr;

/// A node.
pub(super) fn endpoint(
    indent: &str,
    address: &dyn fmt::Display,
    name: &str,
    further: &str,
) -> String {
    format!(
        "{indent}- endpoint: {{address: {{socket_address: {address}}}}}\n\
         {further}\
         {indent}  metadata: {{filter_metadata: {{envoy.lb: {{hash_key: {name}}}}}}}\n"
    )
}

/// What makes a cluster's connections TLS, to whoever can prove this name.
pub(super) fn transport_socket(host: &str) -> String {
    const TLS: &str =
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    format!(
        r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": {TLS}
        sni: "{host}"
        common_tls_context:
          validation_context:
            trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}
            match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: "{host}"}}}}]
"#
    )
}

/// A listener that shows Envoy's metrics and nothing else of its own interface.
pub(super) fn stats_listener(address: SocketAddr) -> String {
    const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let address = Socket(address);
    format!(
        r#"  - name: stats
    address: {{socket_address: {address}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {MANAGER}
          stat_prefix: stats
          route_config:
            name: stats
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{path: /stats/prometheus, headers: [{{name: ":method", string_match: {{exact: GET}}}}]}}
                route: {{cluster: admin}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: *router
"#
    )
}

/// Envoy's own interface, as a cluster.
pub(super) fn admin_cluster(address: SocketAddr) -> String {
    let address = Socket(address);
    format!(
        r#"  - name: admin
    connect_timeout: 1s
    load_assignment:
      cluster_name: admin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {address}}}}}
"#
    )
}

/// An address as Envoy writes it.
pub(super) struct Socket(pub(super) SocketAddr);

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{address: \"{}\", port_value: {}}}",
            self.0.ip(),
            self.0.port()
        )
    }
}
