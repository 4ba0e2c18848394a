//! A backend, a server, tasks.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use ferryd::backend::{Backend, Request};
use ferryd::demo::{Behaviour, Server};
use ferryd::http::Addresses;
use ferryd::model::{
    Answer, AnswerMode, BackendConfig, BackendKind, BackendName, Claimed, HeaderToken, StrategyName, TaskId, WallTime,
};

/// Long enough for a busy machine, short enough for a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

pub(crate) fn serve(behaviour: Behaviour) -> Server {
    Server::start(listener(), behaviour).unwrap()
}

pub(crate) fn config(url: &str) -> BackendConfig {
    BackendConfig {
        kind: BackendKind::Http,
        url: url.to_owned(),
        credential: None,
        token: HeaderToken::Bearer,
        ca_file: None,
        proxy: None,
        answer: AnswerMode::Items,
        gzip: true,
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        request_timeout: PATIENCE,
    }
}

pub(crate) fn config_for(server: &Server) -> BackendConfig {
    config(&format!("http://{}/sync", server.address()))
}

pub(crate) fn backend(config: &BackendConfig) -> Backend {
    backend_in(config, None)
}

pub(crate) fn backend_in(config: &BackendConfig, credentials: Option<&Path>) -> Backend {
    Backend::new(BackendName::new("main").unwrap(), config, credentials, &Addresses::new()).unwrap()
}

pub(crate) fn task(payload: &str) -> Claimed {
    Claimed {
        id: TaskId::mint(),
        payload: payload.to_owned(),
        created: WallTime::from_micros(1_700_000_000_000_000),
        attempts: 0,
    }
}

pub(crate) fn tasks(count: usize) -> Vec<Claimed> {
    (0..count).map(|index| task(&format!("{{\"n\":{index}}}"))).collect()
}

pub(crate) async fn attempt(backend: &Backend, tasks: &[Claimed]) -> Answer {
    let strategy = StrategyName::new("metadata").unwrap();
    backend.attempt(Request { device: "kiosk-7", strategy: &strategy, tasks }).await
}
