//! A backend, a server, tasks.

use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use ferryd::backend::{Backend, Cue, Hands, Keep, Request};
use ferryd::demo::{Behaviour, Server};
use ferryd::http::Addresses;
use ferryd::model::{Answer, BackendConfig, BackendKind, BackendName, Claimed, Owner, StrategyName, TaskId, WallTime};
use tokio::sync::watch;

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
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        request_timeout: PATIENCE,
        chunk: 1 << 22,
        ..BackendConfig::new(BackendKind::Http, url)
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
        owner: Owner(1000),
        payload: payload.to_owned().into(),
        created: WallTime::from_micros(1_700_000_000_000_000),
        attempts: 0,
        note: None,
    }
}

pub(crate) fn tasks(count: usize) -> Vec<Claimed> {
    (0..count).map(|index| task(&format!("{{\"n\":{index}}}"))).collect()
}

pub(crate) async fn attempt(backend: &Backend, tasks: &[Claimed]) -> Answer {
    let strategy = StrategyName::new("metadata").unwrap();
    let request = Request {
        device: "kiosk-7",
        strategy: &strategy,
        tasks,
        spool: Path::new(""),
        upload: ferryd::model::Upload::default(),
    };
    let (_, cue) = watch::channel(Cue::GO);
    backend.attempt(request, Hands { keep: &Forgetful, report: &|_| {}, cue, meter: None }).await
}

/// This backend keeps no notes.
struct Forgetful;

impl Keep for Forgetful {
    fn keep(&self, _: TaskId, note: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        panic!("{note} is to be kept")
    }
}
