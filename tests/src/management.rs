//! The management ports as an operator sees them: the sidecar's and Envoy's.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::client::Request;

/// GET, expecting 200.
pub async fn get(from: SocketAddr, target: &str) -> Result<String> {
    call("GET", from, target, 200).await
}

/// A call and the status that it must have.
pub async fn call(method: &str, to: SocketAddr, target: &str, status: u16) -> Result<String> {
    exchange(method, target, request(method, to, target), to, status).await
}

/// A request by the address that it goes to: the sidecar does not answer for the names of others.
pub fn request(method: &str, to: SocketAddr, target: &str) -> Request {
    Request::new(method, target).host(&to.to_string())
}

/// A call with a JSON body, expecting 200.
pub async fn send(method: &str, to: SocketAddr, target: &str, body: &Value) -> Result<String> {
    let request = request(method, to, target)
        .field("content-type", "application/json")
        .body(&body.to_string());
    exchange(method, target, request, to, 200).await
}

async fn exchange(
    method: &str,
    target: &str,
    request: Request,
    to: SocketAddr,
    status: u16,
) -> Result<String> {
    let mut response = request.send(to).await?;
    let body = String::from_utf8_lossy(&response.rest().await?).into_owned();
    if response.status != status {
        bail!("{method} {target}: {} {body}", response.status);
    }
    Ok(body)
}

/// GET of JSON.
pub async fn json(from: SocketAddr, target: &str) -> Result<Value> {
    let body = get(from, target).await?;
    serde_json::from_str(&body).with_context(|| format!("{target}: {body}"))
}

/// The entity whose key ends like this, with its ranges.
pub async fn entity(from: SocketAddr, key_end: &str) -> Result<Option<Value>> {
    let list = json(from, "/v1/entities?limit=1000").await?;
    let items = list["items"].as_array().context("items: not a list")?;
    let matches = |item: &&Value| {
        item["key"]
            .as_str()
            .is_some_and(|key| key.ends_with(key_end))
    };
    let Some(item) = items.iter().find(matches) else {
        return Ok(None);
    };
    let id = item["id"].as_str().context("id: not a string")?;
    let target = format!("/v1/entities/{id}");
    let mut response = request("GET", from, &target).send(from).await?;
    let body = String::from_utf8_lossy(&response.rest().await?).into_owned();
    match response.status {
        200 => Ok(Some(serde_json::from_str(&body)?)),
        // It may go between being listed and being shown.
        404 => Ok(None),
        status => bail!("GET {target}: {status} {body}"),
    }
}

/// The stored ranges of an entity as [`entity`] gives it, half-open.
pub fn ranges(entity: &Value) -> Result<Vec<(u64, u64)>> {
    let pairs = entity["ranges"].as_array().context("ranges: not a list")?;
    let pair = |pair: &Value| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?));
    pairs
        .iter()
        .map(|p| pair(p).with_context(|| format!("ranges: {p} is not a pair")))
        .collect()
}

/// A counter or gauge of Envoy's; 0 when it has not been counted yet.
pub async fn envoy_stat(admin: SocketAddr, name: &str) -> Result<u64> {
    let body = get(
        admin,
        &format!("/stats?filter=^{}$", name.replace('.', "%5C.")),
    )
    .await?;
    let value = body
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map_or(Ok(0), |value| {
        value.parse().with_context(|| format!("{name}: {value}"))
    })
}
