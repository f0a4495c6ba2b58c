//! Requests of viewers that Envoy routed here.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use viewcache_protocol::{Conditions, Wanted, header};
use warp::reply::{Reply, Response};

use super::{Request, plain, text, value};
use crate::delivery::{self, Answer, Ask, Head};
use crate::origin::{Asker, lines};
use crate::service::Service;

pub(super) async fn answer<S>(service: &Arc<Service>, request: &Request<S>) -> Response {
    let wanted = match Wanted::from_headers(|name| text(&request.headers, name)) {
        Ok(wanted) => wanted,
        Err(error) => {
            return hand_back(plain(StatusCode::BAD_REQUEST, error.to_string()), "message");
        }
    };
    let own_path = || match &request.query {
        None => request.path.as_str().to_owned(),
        Some(query) => format!("{}?{query}", request.path.as_str()),
    };
    let path = wanted.origin_path.clone().unwrap_or_else(own_path);
    // It is put behind the egress listener's address: `@elsewhere/` there would be another host.
    if !path.starts_with('/') {
        let message = format!("{}: {path:?} is not a path", header::ORIGIN_PATH);
        return hand_back(plain(StatusCode::BAD_REQUEST, message), "message");
    }
    let asker = Asker::new(&request.headers, path);
    let ask = Ask {
        wanted,
        head: request.method == Method::HEAD,
        conditions: conditions(&request.headers),
    };
    match delivery::answer(service, ask, asker).await {
        Answer::Body(head, body) => {
            let frames = stream::unfold(body, |mut body| async move {
                let frame = body.frame().await.transpose()?;
                Some((frame, body))
            });
            with_head(warp::reply::stream(frames).into_response(), &head)
        }
        Answer::Empty(head) => with_head(StatusCode::OK.into_response(), &head),
        Answer::HandBack(reason) => {
            // A 4xx: outlier detection does not count it against the sidecar.
            hand_back(
                StatusCode::MISDIRECTED_REQUEST.into_response(),
                reason.as_str(),
            )
        }
    }
}

fn conditions(headers: &HeaderMap) -> Conditions {
    let read = Conditions::read(|name| Ok::<_, Infallible>(lines(headers, name)));
    let Ok(conditions) = read;
    conditions
}

pub(super) fn hand_back(mut response: Response, reason: &str) -> Response {
    response
        .headers_mut()
        .insert(header::HANDBACK, value(reason));
    response
}

fn with_head(mut response: Response, head: &Head) -> Response {
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.clear();
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(header::SERVED, HeaderValue::from_static("1"));
    response
}
