//! What Envoy and the filter send a sidecar: callouts, the mirror protocol, and routed requests.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::http::request::Builder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use viewcache_protocol::message::Step;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, DecideRequest, Decision, End, EntityKey, FillId, Generation,
    GenerationId, Outcome, PROTOCOL_VERSION, Profile, Wanted,
};

use super::{Got, Sidecar, Viewer, begin, generation, key, key_at, wanted};
use crate::origin::body;

impl Sidecar {
    /// With the secret, when there is one to show.
    pub(super) fn shown(&self, request: Builder) -> Builder {
        match self.secret {
            Some(secret) => request.header("x-viewcache-secret", secret),
            None => request,
        }
    }

    pub(super) fn callout(&self, path: &str) -> Builder {
        self.shown(Request::post(format!("http://{}{path}", self.data)))
            .header("x-viewcache-version", PROTOCOL_VERSION)
    }

    pub(crate) async fn decide(&self, range: &str) -> Decision {
        self.decide_as(&wanted(range).into()).await
    }

    /// The same for another entity.
    pub(crate) async fn decide_at(&self, path: &str) -> Decision {
        let wanted = Wanted {
            key: key_at(path),
            ..wanted("")
        };
        self.decide_as(&wanted.into()).await
    }

    pub(crate) async fn decide_as(&self, message: &DecideRequest) -> Decision {
        let body = serde_json::to_vec(message).unwrap();
        let got = self
            .get(self.callout("/decide").body(body.into()).unwrap())
            .await;
        assert_eq!(got.status, 200);
        serde_json::from_slice(&got.body).unwrap()
    }

    /// Decides and takes the grant of a miss.
    pub(crate) async fn granted(&self, range: &str) -> FillId {
        match self.decide(range).await {
            Decision::Miss {
                grant: Some(grant), ..
            } => grant.fill,
            other => panic!("{range}: no grant but {other:?}"),
        }
    }

    pub(crate) async fn begin(&self, fill: FillId, living: &Generation, start: u64, end: u64) {
        assert_eq!(self.try_begin(fill, living, start, end).await.status, 204);
    }

    pub(crate) async fn try_begin(
        &self,
        fill: FillId,
        living: &Generation,
        start: u64,
        end: u64,
    ) -> Got {
        self.tell_begin(fill, &begin(living, start, end)).await
    }

    /// `begin` of a body whose length only its end tells.
    pub(crate) async fn begin_open_ended(&self, fill: FillId, living: &Generation) {
        self.begin_open_ended_of(key(), fill, living).await;
    }

    /// The same of any entity.
    pub(crate) async fn begin_open_ended_of(
        &self,
        key: EntityKey,
        fill: FillId,
        living: &Generation,
    ) {
        let message = Begin {
            key,
            open_ended: true,
            ..begin(living, 0, living.complete_length)
        };
        assert_eq!(self.tell_begin(fill, &message).await.status, 204);
    }

    async fn tell_begin(&self, fill: FillId, message: &Begin) -> Got {
        let body = serde_json::to_vec(message).unwrap();
        self.get(
            self.callout(&Step::Begin.path(fill))
                .body(body.into())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn chunk(
        &self,
        fill: FillId,
        generation: GenerationId,
        from: u64,
        bytes: Vec<u8>,
    ) -> Got {
        let head = ChunkHead {
            entity: key().id(),
            generation,
            offset: from,
        };
        let mut request = self.callout(&Step::Chunks.path(fill));
        for (name, value) in head.to_headers() {
            request = request.header(name, value);
        }
        self.get(request.body(bytes.into()).unwrap()).await
    }

    pub(crate) async fn end(&self, fill: FillId, outcome: Outcome) {
        self.end_at(fill, None, outcome).await;
    }

    /// `end` of a body of which so much was delivered.
    pub(crate) async fn end_at(&self, fill: FillId, delivered: Option<u64>, outcome: Outcome) {
        let message = End {
            key: key(),
            viewer: "viewer".to_owned(),
            delivered: delivered.and_then(|end| ByteRange::new(0, end)),
            outcome,
        };
        let body = serde_json::to_vec(&message).unwrap();
        let request = self
            .callout(&Step::End.path(fill))
            .body(body.into())
            .unwrap();
        assert_eq!(self.get(request).await.status, 204);
    }

    /// Mirrors `start..end` as the filter would, in one chunk.
    pub(crate) async fn mirror(&self, range: &str, start: u64, end: u64) {
        let generation = generation(1, 1_000_000);
        let fill = self.granted(range).await;
        self.begin(fill, &generation, start, end).await;
        let id = generation.id(Profile::Generic, "");
        assert_eq!(
            self.chunk(fill, id, start, body(1, start, end))
                .await
                .status,
            204
        );
        self.end(fill, Outcome::Complete).await;
    }

    /// A viewer's request as Envoy routes it.
    pub(crate) async fn routed(&self, range: &str) -> Got {
        self.get(self.routed_request(range)).await
    }

    /// The same, sent by a page of this site.
    pub(crate) async fn routed_from(&self, site: &str) -> Got {
        self.routed_with("", "origin", site).await
    }

    /// The same, with one more field.
    pub(crate) async fn routed_with(&self, range: &str, name: &'static str, value: &str) -> Got {
        let mut request = self.routed_request(range);
        request.headers_mut().insert(name, value.parse().unwrap());
        self.get(request).await
    }

    /// The same, left after the head and the first bytes.
    pub(crate) async fn routed_and_left(&self, range: &str) {
        let response = self.send(self.routed_request(range)).await;
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
    }

    /// The same, read at the test's own pace.
    pub(crate) async fn routed_slowly(&self, range: &str) -> Viewer {
        Viewer(self.send(self.routed_request(range)).await.into_body())
    }

    /// The same over a connection that holds little on the viewer's side.
    pub(crate) async fn routed_narrowly(&self, range: &str) -> Viewer {
        const LITTLE: usize = 64 << 10;
        let mut connector = HttpConnector::new();
        connector.set_recv_buffer_size(Some(LITTLE));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let response = client.request(self.routed_request(range)).await.unwrap();
        Viewer(response.into_body())
    }

    /// A request for another entity.
    pub(crate) async fn routed_at(&self, path: &str, range: &str) -> Got {
        let wanted = Wanted {
            key: key_at(path),
            ..wanted(range)
        };
        self.get(self.request_of(path, &wanted)).await
    }

    /// The same, whatever becomes of the sidecar meanwhile.
    pub(crate) async fn try_routed_at(&self, path: &str) {
        let wanted = Wanted {
            key: key_at(path),
            ..wanted("")
        };
        let request = self.request_of(path, &wanted);
        if let Ok(response) = self.client.request(request).await {
            let mut body = response.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
    }

    fn routed_request(&self, range: &str) -> Request<Full<Bytes>> {
        self.request_of("/video", &wanted(range))
    }

    pub(super) fn request_of(&self, path: &str, wanted: &Wanted) -> Request<Full<Bytes>> {
        let mut request = self
            .shown(Request::get(format!("http://{}{path}", self.data)))
            .header("host", "origin.test")
            .header("x-viewcache-version", PROTOCOL_VERSION)
            .header("x-viewcache-route", "partial");
        for (name, value) in wanted.to_headers() {
            request = request.header(name, value);
        }
        request.body(Full::default()).unwrap()
    }
}
