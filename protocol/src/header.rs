//! The names of the control headers. A viewer's own are removed before the filter chain, and none
//! reaches the origin: Envoy's configuration removes every name that begins with [`PREFIX`].

/// What every control header begins with.
pub const PREFIX: &str = "x-viewcache-";

/// On every message of the filter's: [`crate::PROTOCOL_VERSION`].
pub const VERSION: &str = "x-viewcache-version";

/// On whatever Envoy sends to the sidecar and the sidecar to Envoy: the secret that they share, when
/// they do.
pub const SECRET: &str = "x-viewcache-secret";

/// On a routed request: `hit` or `partial`. Its presence tells a routed request from a callout.
pub const ROUTE: &str = "x-viewcache-route";
/// The entity id in 32 hex digits: what both the routes and the callouts hash by.
pub const KEY: &str = "x-viewcache-key";
/// The canonical entity key in full.
pub const ENTITY: &str = "x-viewcache-entity";
/// The viewer, hashed by the filter.
pub const VIEWER: &str = "x-viewcache-viewer";
/// The wanted range as the client wrote it, without the unit: `0-499`, `500-`, `-500`.
pub const RANGE: &str = "x-viewcache-range";
/// `query` when the range stood in the URL, whose answer is then a 200.
pub const RANGE_IN: &str = "x-viewcache-range-in";
/// The complete length as the URL tells it.
pub const COMPLETE_LENGTH: &str = "x-viewcache-complete-length";
/// Path and query to ask the origin with, when it is not the request's own.
pub const ORIGIN_PATH: &str = "x-viewcache-origin-path";

/// The names of the header fields that name the entity, comma-separated, when a profile names it by
/// any: the origin is asked for more of it with the same in them.
pub const KEY_FIELDS: &str = "x-viewcache-key-fields";

/// The wanted ranges when they are several, likewise: `0-1,5-6`.
pub const PARTS: &str = "x-viewcache-parts";

/// On a chunk: the generation's identity in 16 hex digits.
pub const GENERATION: &str = "x-viewcache-generation";
/// On a chunk: the offset of its first byte in the entity.
pub const OFFSET: &str = "x-viewcache-offset";
/// On the answer to a chunk: everything before this offset is stored already.
pub const SKIP_UNTIL: &str = "x-viewcache-skip-until";
/// On the answer to a mirror message: stop mirroring, and why.
pub const STOP: &str = "x-viewcache-stop";

/// On a response of the sidecar's: try the origin instead, and why. Envoy retries there.
pub const HANDBACK: &str = "x-viewcache-handback";
/// On every answer that the sidecar gives to a viewer, removed by the filter; without it a routed
/// request was answered by the origin after a fail-over.
pub const SERVED: &str = "x-viewcache-served";

/// Not one of ours: Envoy's name for a request, which its access log has too. Viewers may have sent
/// it, and the origin may see it.
pub const REQUEST_ID: &str = "x-request-id";
