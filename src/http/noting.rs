//! Notes the connections that a client makes, for those who ask the kernel about them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tower_layer::Layer;
use tower_service::Service;

use super::gauge::Gauge;
use super::meter::Meter;

/// The addresses of a connection, by which the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// Those who are told of each connection.
#[derive(Debug, Clone)]
pub(super) struct Noting {
    pub(super) meter: Option<Meter>,
    pub(super) gauge: Option<Gauge>,
}

impl Noting {
    pub(super) fn is_for_nobody(&self) -> bool {
        self.meter.is_none() && self.gauge.is_none()
    }
}

impl<S> Layer<S> for Noting {
    type Service = Noted<S>;

    fn layer(&self, connector: S) -> Noted<S> {
        Noted { connector, noting: self.clone() }
    }
}

/// A connector whose connections are noted.
#[derive(Debug, Clone)]
pub(super) struct Noted<S> {
    connector: S,
    noting: Noting,
}

impl<S, R> Service<R> for Noted<S>
where
    S: Service<R>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let (connecting, Noting { meter, gauge }) = (self.connector.call(to), self.noting.clone());
        Box::pin(async move {
            let connection = connecting.await?;
            let mut said = http::Extensions::new();
            connection.connected().get_extras(&mut said);
            let ends = said.get::<HttpInfo>().map(|ends| Ends { local: ends.local_addr(), remote: ends.remote_addr() });
            if let Some(meter) = meter {
                meter.note(ends);
            }
            if let Some(gauge) = gauge {
                gauge.note(ends);
            }
            Ok(connection)
        })
    }
}
