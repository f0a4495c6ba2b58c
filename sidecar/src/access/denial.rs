//! Why a request is not let in.

use hyper::StatusCode;
use thiserror::Error;

use super::Role;
use crate::metrics::Denied;

/// Why a request is not let in. Each names the field and its value, but for credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// It does not say whom it is for, or says it twice.
    #[error("host: must be there, once")]
    NoHost,
    /// It is for somebody else: a page whose name was made to lead here, or a name that
    /// `allowed_hosts` lacks.
    #[error("host: {0:?} is not localhost, the address of this port, or in allowed_hosts")]
    Host(String),
    /// Another site's page has sent it.
    #[error("origin: {0:?} is not where this port is")]
    Origin(String),
    /// The browser says that another site's page has sent it.
    #[error("sec-fetch-site: {0:?} is another site")]
    Site(String),
    /// It shows no token.
    #[error("authorization: a bearer token is needed")]
    NoToken,
    /// It shows one that is not known.
    #[error("authorization: the bearer token is not known")]
    WrongToken,
    /// It shows one that is known and does not suffice.
    #[error("authorization: the bearer token's role is not {0}")]
    Role(Role),
    /// Its body is of a type that any page can send.
    #[error("content-type: {value} is not {1}", value = written(.0.as_deref()))]
    ContentType(Option<String>, &'static str),
}

fn written(value: Option<&str>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
}

impl Denial {
    /// The answer's status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin(_) | Self::Site(_) | Self::Role(_) => StatusCode::FORBIDDEN,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::ContentType(..) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// What WWW-Authenticate says (RFC 6750 section 3): of a request without a token nothing is
    /// wrong yet.
    pub const fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("Bearer realm=\"viewcache\""),
            Self::WrongToken => Some("Bearer realm=\"viewcache\", error=\"invalid_token\""),
            Self::Role(Role::Read) => {
                Some("Bearer realm=\"viewcache\", error=\"insufficient_scope\", scope=\"read\"")
            }
            Self::Role(Role::Admin) => {
                Some("Bearer realm=\"viewcache\", error=\"insufficient_scope\", scope=\"admin\"")
            }
            _ => None,
        }
    }

    /// The field that it is about, and its value unless that is a secret.
    pub fn field(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::NoHost => ("host", None),
            Self::Host(value) => ("host", Some(value)),
            Self::Origin(value) => ("origin", Some(value)),
            Self::Site(value) => ("sec-fetch-site", Some(value)),
            Self::NoToken | Self::WrongToken | Self::Role(_) => ("authorization", None),
            Self::ContentType(value, _) => ("content-type", value.as_deref()),
        }
    }

    /// What it is counted as.
    pub const fn counted(&self) -> Denied {
        match self {
            Self::NoHost | Self::Host(_) => Denied::Host,
            Self::Origin(_) => Denied::Origin,
            Self::Site(_) => Denied::Site,
            Self::NoToken => Denied::NoToken,
            Self::WrongToken => Denied::WrongToken,
            Self::Role(_) => Denied::Role,
            Self::ContentType(..) => Denied::ContentType,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_field_and_value_but_no_credentials() {
        let check = |denial: Denial, status: u16, expect: &str| {
            assert_eq!(denial.status(), status, "{denial}");
            assert_eq!(denial.to_string(), expect);
            let (field, value) = denial.field();
            assert!(expect.starts_with(&format!("{field}: ")), "{expect}");
            assert!(value.is_none_or(|value| expect.contains(value)), "{expect}");
            let credentials = field == "authorization";
            assert!(!credentials || value.is_none());
            assert_eq!(denial.challenge().is_some(), credentials, "{denial}");
        };
        check(
            Denial::Host("evil.example".to_owned()),
            421,
            "host: \"evil.example\" is not localhost, the address of this port, or in allowed_hosts",
        );
        check(
            Denial::Origin("null".to_owned()),
            403,
            "origin: \"null\" is not where this port is",
        );
        check(
            Denial::Role(Role::Admin),
            403,
            "authorization: the bearer token's role is not admin",
        );
        check(
            Denial::WrongToken,
            401,
            "authorization: the bearer token is not known",
        );
        let json = "application/json";
        check(
            Denial::ContentType(None, json),
            415,
            "content-type: nothing is not application/json",
        );
        check(
            Denial::ContentType(Some("text/plain".to_owned()), json),
            415,
            "content-type: \"text/plain\" is not application/json",
        );
    }
}
