//! Accepts a port's connections and answers what comes on them: first its guard is asked, then its
//! routes. What the guard answers itself no route ever sees, whichever routes there are.

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::time::Duration;

use futures_util::future::Either;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;

use crate::listener::Listener;

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
                tokio::time::sleep(Duration::from_millis(50)).await;
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
