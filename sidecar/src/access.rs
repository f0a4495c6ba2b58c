//! Who may do what on the management port: the decisions, on plain values. A request is let in when
//! it was meant for this host, was sent by no other site's page, shows a token whose role suffices,
//! and has a body that no page can send without asking first.

mod bearer;
mod denial;
mod hosts;
mod media;
mod origin;
mod tokens;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Uri};

pub use denial::Denial;
pub use hosts::Hosts;
pub(crate) use hosts::name as host_name;
pub use tokens::{Role, TokenError, Tokens};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What of a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Whether a body follows.
    pub body: bool,
}

/// How much has to be known of whoever asks for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing at all: it says that the process lives, to whatever looks after it, by whatever name.
    Nothing,
    /// No token: it is the page that asks for one, and has no data.
    Host,
    /// A token of this role.
    Role(Role),
}

/// Whether a request is let in.
///
/// # Errors
/// The first reason for which it is not.
pub fn judge(head: Head<'_>, hosts: &Hosts, tokens: &Tokens) -> Result<(), Denial> {
    let demand = demand(head.method, head.uri.path());
    if demand == Demand::Nothing {
        return Ok(());
    }
    let authority = authority(head)?;
    if !hosts.know(&authority) {
        return Err(Denial::Host(authority.to_string()));
    }
    let text = |name| only(head.headers, &name);
    origin::judge(
        &origin::Sent {
            origin: text(ORIGIN),
            site: text(SEC_FETCH_SITE),
            mode: text(SEC_FETCH_MODE),
            dest: text(SEC_FETCH_DEST),
        },
        head.method,
        &authority,
    )?;
    if let Demand::Role(needed) = demand
        && !tokens.is_empty()
    {
        let shown = bearer::token(head.headers.get_all(AUTHORIZATION));
        let role = tokens.role(shown.ok_or(Denial::NoToken)?);
        if role.ok_or(Denial::WrongToken)? < needed {
            return Err(Denial::Role(needed));
        }
    }
    match demand {
        Demand::Role(Role::Admin) => media::judge(head.uri.path(), text(CONTENT_TYPE), head.body),
        _ => Ok(()),
    }
}

/// What a path demands; also by its template.
pub(crate) fn demand(method: &Method, path: &str) -> Demand {
    match *method {
        Method::GET | Method::HEAD => match path {
            "/healthz" | "/readyz" => Demand::Nothing,
            "/" => Demand::Host,
            path if path.starts_with("/dashboard/") => Demand::Host,
            _ => Demand::Role(Role::Read),
        },
        _ => Demand::Role(Role::Admin),
    }
}

/// Whom the request is for. A target with an authority says it, else the Host field does
/// (RFC 9112 section 3.2.2).
fn authority(head: Head<'_>) -> Result<Authority, Denial> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Denial::NoHost);
    };
    let parsed = Authority::try_from(host.as_bytes());
    parsed.map_err(|_| Denial::Host(String::from_utf8_lossy(host.as_bytes()).into_owned()))
}

/// A field's value: of several lines all together, which is then none that is known.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

#[cfg(test)]
mod tests;
