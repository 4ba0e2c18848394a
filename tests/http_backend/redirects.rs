//! Redirects: 307 and 308 to the same origin once, and no other.

use ferryd::demo::{Behaviour, Fault};
use ferryd::model::{Answer, BackendConfig};

use crate::setup::{attempt, backend, config_for, serve, tasks};

#[tokio::test]
async fn a_redirect_to_the_same_origin_is_followed_once() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for (status, to) in [(307, "/v2/sync?x=1".to_owned()), (308, format!("http://{}/v2/sync?x=1", server.address()))] {
        server.behave_once(Behaviour::fault(Fault::redirect(status, &to)));
        let tasks = tasks(2);
        let Answer::Results(_) = attempt(&backend, &tasks).await else { panic!() };
        let heads: Vec<_> = server.log(|log| log.heads().cloned().collect());
        let [.., first, second] = heads.as_slice() else { panic!() };
        assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/sync"));
        assert_eq!((second.method.as_str(), second.target.as_str()), ("POST", "/v2/sync?x=1"));
        assert_eq!(first.length, second.length, "the same body");
        assert_eq!(first.headers, second.headers, "the same header fields");
    }
}

#[tokio::test]
async fn a_loop_is_left() {
    let server = serve(Behaviour::fault(Fault::redirect(307, "/sync")));
    let answer = attempt(&backend(&config_for(&server)), &tasks(1)).await;
    assert!(matches!(answer, Answer::Foreign { .. }), "{answer:?}");
    assert_eq!(server.log(|log| log.requests), 2);
}

#[tokio::test]
async fn no_other_redirect_is_followed() {
    let server = serve(Behaviour::honest());
    let other = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let here = server.address();
    let elsewhere = format!("http://{}/sync?token=hidden", other.address());
    for (status, to) in [
        (301, "/v2".to_owned()),
        (302, "/v2".to_owned()),
        (303, "/v2".to_owned()),
        (304, String::new()),
        (307, elsewhere.clone()),
        (308, elsewhere),
        (307, format!("//{}/", other.address())),
        (307, format!("https://{here}/")),
        (307, format!("http://localhost:{}/", here.port())),
        (307, format!("http://user:secret@{here}/")),
        (307, "ftp://example.org/".to_owned()),
        (307, "http://[".to_owned()),
    ] {
        server.behave(Behaviour::fault(Fault::redirect(status, &to)));
        let before = server.log(|log| log.requests);
        let answer = attempt(&backend, &tasks(1)).await;
        let Answer::Foreign { words } = &answer else { panic!("{status} {to}: {answer:?}") };
        assert!(!words.contains("hidden") && !words.contains("secret"), "{words}");
        assert_eq!(server.log(|log| log.requests), before + 1, "{status} {to}");
    }
    server.behave(Behaviour::fault(Fault::Answer { status: 307, headers: Vec::new(), body: Vec::new() }));
    assert!(matches!(attempt(&backend, &tasks(1)).await, Answer::Foreign { .. }), "without a Location");
    assert_eq!(other.log(|log| log.connections), 0);
}

#[tokio::test]
async fn a_redirect_has_no_time_of_its_own() {
    let server = serve(Behaviour::fault(Fault::Hang(0)));
    server.behave_once(Behaviour::fault(Fault::redirect(307, "/v2")));
    let config = BackendConfig { request_timeout: std::time::Duration::from_millis(300), ..config_for(&server) };
    assert!(matches!(attempt(&backend(&config), &tasks(1)).await, Answer::Unreachable { .. }));
}
