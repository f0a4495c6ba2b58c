//! Accepts a port's connections and answers what comes on them: first its guard is asked, then its
//! routes. What the guard answers itself no route ever sees, whichever routes there are.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::future::ready;
use std::time::Duration;

use futures_util::future::Either;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::time::{sleep, timeout};

use crate::listener::Listener;

/// As many header fields as a request may have. Envoy lets a viewer send 100 and adds its own and the
/// filter's: what has passed there must not be refused here.
const MAX_HEADERS: usize = 256;

/// Answers until `stop` is ready, and then lets exchanges in flight end. `port` is what log lines
/// call it.
pub(crate) async fn serve<G, R, B>(
    port: &'static str,
    listener: Listener,
    guard: G,
    routes: R,
    stop: impl Future<Output = ()>,
) where
    G: Fn(&Request<Incoming>) -> Option<Response<B>> + Clone + Send + 'static,
    R: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    R: Clone + Send + 'static,
    R::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connections = GracefulShutdown::new();
    let mut spare = Spare::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, most likely; closing connections give some back.
                tracing::error!(%error, port, "accept");
                spare.turn_away(&listener).await;
                continue;
            }
        };
        let (guard, routes) = (guard.clone(), routes.clone());
        let service = service_fn(move |request| match guard(&request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(routes.call(request)),
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, port, "connection");
            }
        });
    }
    // Whoever comes now is refused at once, and not left waiting where nobody accepts.
    drop(listener);
    connections.shutdown().await;
}

/// A descriptor for when there is no other. With it a connection that cannot be served is accepted
/// and closed, at which Envoy asks the origin; left alone, it would wait for as long as that route
/// lets the sidecar think.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        // It opens no file of a disk, so it does not block.
        Self(File::open("/dev/null").ok())
    }

    /// Closes the next connection, if one comes soon.
    async fn turn_away(&mut self, listener: &Listener) {
        const SOON: Duration = Duration::from_millis(50);
        self.0 = None;
        match timeout(SOON, listener.accept()).await {
            Ok(Ok(connection)) => drop(connection),
            // Somebody else was faster.
            Ok(Err(_)) => sleep(SOON).await,
            Err(_) => {}
        }
        *self = Self::new();
    }
}
