//! Problem details (RFC 9457): what went wrong, naming field and value.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use warp::reply::{Reply, Response};

use crate::error::Error;
use crate::store::StoreError;

/// The content type of RFC 9457.
pub(super) const PROBLEM: &str = "application/problem+json";

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Report {
    /// The status of the response.
    status: u16,
    /// What the status is called.
    title: &'static str,
    /// What went wrong, with the field and the value.
    detail: String,
    /// The field that it is about: of the body, the query, the path or the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What the field had.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    value: Option<Value>,
    /// Behind a pointer: a problem is an error of small functions.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            value: None,
            header: None,
        }
    }

    /// A value that is refused, and why.
    pub(super) fn refused(field: &str, value: impl Into<Value>, why: impl ToString) -> Self {
        let (value, why) = (value.into(), why.to_string());
        let detail = format!("{field}: {value} {why}");
        Self::new(StatusCode::BAD_REQUEST, detail).of(field, value)
    }

    /// Something of a JSON document that is refused; the detail begins with the path to it.
    pub(super) fn within(document: &Value, detail: String) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, detail);
        let Some((field, _)) = problem.detail.split_once(": ") else {
            return problem;
        };
        let field = field.to_owned();
        let mut steps = field.split('.');
        let value = steps.try_fold(document, |value, step| value.get(step));
        let value = value.cloned();
        Self {
            field: Some(field),
            value,
            ..problem
        }
    }

    /// Something is not there.
    pub(super) fn missing(id: impl ToString, why: &str) -> Self {
        let id = id.to_string();
        Self::new(StatusCode::NOT_FOUND, format!("id: {id} {why}")).of("id", id)
    }

    /// What it is about.
    #[must_use]
    pub(super) fn of(self, field: &str, value: impl Into<Value>) -> Self {
        Self {
            field: Some(field.to_owned()),
            value: Some(value.into()),
            ..self
        }
    }

    /// With another status.
    #[must_use]
    pub(super) fn but(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With one more header field.
    #[must_use]
    pub(super) fn with(self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).ok();
        Self {
            header: value.map(|value| Box::new((name, value))),
            ..self
        }
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn into_response(self) -> Response {
        let report = Report {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("error"),
            detail: self.detail,
            field: self.field,
            value: self.value,
        };
        let json = warp::reply::json(&report);
        let typed = warp::reply::with_header(json, "content-type", PROBLEM);
        let mut response = warp::reply::with_status(typed, self.status).into_response();
        if let Some((name, value)) = self.header.map(|header| *header) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        tracing::error!(%error, "management");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}
