//! Proxies: the one in config, never one from the environment.

use std::process::Command;

use ferryd::demo::{Behaviour, Fault, Server};
use ferryd::http::Addresses;
use ferryd::model::{Answer, BackendConfig, BackendName, Credential};

use crate::setup::{attempt, backend, config, config_for, serve, tasks};

/// Set for the child process of the test below.
const CHILD: &str = "FERRY_TEST_PROXIED_CHILD";

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    if std::env::var_os(CHILD).is_some() {
        let server = serve(Behaviour::honest());
        let Answer::Results(_) = attempt(&backend(&config_for(&server)), &tasks(1)).await else { panic!() };
        assert_eq!(server.log(|log| log.applied()), 1);
        return;
    }
    let trap = serve(Behaviour::fault(Fault::status(502, "a proxy that should not be asked")));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxy::proxies_of_the_environment_are_not_used"]).env(CHILD, "1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, format!("http://{}", trap.address()));
    }
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the child ran the test");
    assert_eq!(trap.log(|log| log.connections), 0);
}

fn through(proxy: &Server, url: &str) -> BackendConfig {
    BackendConfig { proxy: Some(format!("http://user:pass@{}", proxy.address())), ..config(url) }
}

#[tokio::test]
async fn the_proxy_of_config_carries_requests() {
    let proxy = serve(Behaviour::honest());
    let addresses = Addresses::new();
    let config = through(&proxy, "http://backend.invalid/sync");
    let name = BackendName::new("main").unwrap();
    let backend = ferryd::backend::Backend::new(name, &config, None, &addresses).unwrap();
    let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
    let head = proxy.log(|log| log.heads().next().cloned()).unwrap();
    assert_eq!(head.target, "http://backend.invalid/sync");
    assert_eq!(head.headers["proxy-authorization"], "Basic dXNlcjpwYXNz");
    assert_eq!(backend.peer(), "127.0.0.1", "the route to the proxy is what counts");
    assert!(addresses.get("backend.invalid").is_empty(), "its name is the proxy's to resolve");

    proxy.behave(Behaviour::fault(Fault::status(407, "who are you?")));
    assert!(matches!(attempt(&backend, &tasks(1)).await, Answer::Status { code: 407, .. }));
}

#[tokio::test]
async fn a_tunnel_is_asked_for_without_the_backends_credential() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "secret").unwrap();
    let proxy = serve(Behaviour::honest());
    let config = through(&proxy, "https://backend.invalid/sync");
    let backend = backend(&BackendConfig { credential: Some(Credential::File(file)), ..config });

    proxy.behave(Behaviour::fault(Fault::status(407, "")));
    let answer = attempt(&backend, &tasks(1)).await;
    assert!(matches!(answer, Answer::Status { code: 407, .. }), "{answer:?}");
    let head = proxy.log(|log| log.heads().next().cloned()).unwrap();
    assert_eq!((head.method.as_str(), head.target.as_str()), ("CONNECT", "backend.invalid:443"));
    assert!(!head.headers.contains_key("authorization"));

    proxy.behave(Behaviour::fault(Fault::status(502, "")));
    let answer = attempt(&backend, &tasks(1)).await;
    assert!(matches!(answer, Answer::Unreachable { .. }), "{answer:?}");
}
