//! Connections: re-used in a burst, gone soon after, and no timer left behind.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ferryd::demo::Behaviour;
use ferryd::http::{Addresses, KEEP_IDLE};
use ferryd::model::{Answer, BackendName};

use crate::setup::{attempt, backend, config, config_for, serve, tasks};

/// Set for the child process of the test below: where to send.
const CHILD: &str = "FERRY_TEST_IDLE_CHILD";

#[test]
fn an_idle_client_sleeps() {
    if let Ok(url) = std::env::var(CHILD) {
        idle(&url);
    }
    let server = serve(Behaviour::honest());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::an_idle_client_sleeps", "--nocapture"])
        .env(CHILD, format!("http://{}/", server.address()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("sent")));
    assert_eq!(server.log(|log| (log.requests, log.connections)), (20, 1), "a burst re-uses its connection");
    assert!(server.wait_until(|log| log.open == 0, 20 * KEEP_IDLE), "the pool lets go of it");
    // Its timer ends with that; then nothing wakes the process. The first window may catch it on its way to sleep.
    let woken: Vec<u64> = (0..2).map(|_| woken_in(child.0.id(), 3 * KEEP_IDLE)).collect();
    assert_eq!(woken[1], 0, "{woken:?}");
    assert!(child.0.try_wait().unwrap().is_none(), "it is asleep, not dead");
}

fn woken_in(pid: u32, window: Duration) -> u64 {
    let before = voluntary_switches(pid);
    std::thread::sleep(window);
    voluntary_switches(pid) - before
}

/// Sends a burst, then waits for ever.
fn idle(url: &str) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let backend = backend(&config(url));
        for _ in 0..20 {
            let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
        }
        println!("sent");
        std::future::pending::<()>().await;
    });
    unreachable!("it waits for ever");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of all threads, from /proc/PID/task/TID/status (proc_pid_status(5)).
fn voluntary_switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |status: String| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    };
    tasks.map(|task| of(std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())).sum()
}

#[tokio::test]
async fn forgotten_connections_are_closed() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    attempt(&backend, &tasks(1)).await;
    assert_eq!(server.log(|log| log.open), 1);
    backend.forget_connections();
    server.until(|log| log.open == 0).await;
    let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
    assert_eq!(server.log(|log| log.connections), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used() {
    let first = serve(Behaviour::honest());
    let address = first.address();
    let backend = backend(&config_for(&first));
    attempt(&backend, &tasks(1)).await;
    drop(first);
    // The end has arrived; the runtime notices when it next looks at its sockets.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let listener = std::net::TcpListener::bind(address).unwrap();
    let second = ferryd::demo::Server::start(listener, Behaviour::honest()).unwrap();
    let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
    assert_eq!(second.log(|log| log.applied()), 1);
}

#[tokio::test]
async fn names_are_resolved_and_remembered() {
    let server = serve(Behaviour::honest());
    let addresses = Addresses::new();
    let mut news = addresses.watch();
    let config = config(&format!("http://LOCALHOST:{}/", server.address().port()));
    let name = BackendName::new("main").unwrap();
    let backend = ferryd::backend::Backend::new(name, &config, None, &addresses).unwrap();
    assert_eq!((backend.peer(), addresses.get(backend.peer())), ("localhost", vec![]));
    let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
    tokio::time::timeout(Duration::from_secs(1), news.changed()).await.unwrap().unwrap();
    assert!(addresses.get(backend.peer()).contains(&server.address().ip()));
    assert!(TcpStream::connect((addresses.get("localhost")[0], server.address().port())).is_ok());
}
