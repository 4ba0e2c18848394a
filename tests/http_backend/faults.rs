//! No answer, or not the whole of one: nothing is done, and it is told as a fault of the way.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use ferryd::demo::{At, Behaviour, Fault, Gate, Wait};
use ferryd::model::{Answer, AnswerMode, BackendConfig};

use crate::setup::{PATIENCE, attempt, backend, config, config_for, listener, serve, tasks};

const SHORT: Duration = Duration::from_millis(200);

fn unreachable(answer: &Answer) -> &str {
    let Answer::Unreachable { words } = answer else { panic!("{answer:?}") };
    words
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_none() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let tasks = tasks(1);
    for byte in 0..4096 {
        server.behave(Behaviour::fault(Fault::Close(At::Byte(byte))));
        let answer = attempt(&backend, &tasks).await;
        let Answer::Results(_) = answer else {
            unreachable(&answer);
            continue;
        };
        assert!(byte > 100, "the whole answer has more than {byte} bytes");
        assert_eq!(server.received()[0].seen as usize, byte + 1, "one request an attempt");
        assert_eq!(server.log(|log| log.applied()), 1);
        return;
    }
    panic!("the whole answer is never enough");
}

#[tokio::test]
async fn an_error_cut_at_any_byte_is_none() {
    let whole = b"HTTP/1.1 422 No\r\nContent-Length: 9\r\n\r\nnot today";
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for byte in 0..whole.len() {
        server.behave(Behaviour::fault(Fault::Raw(whole[..byte].to_vec())));
        unreachable(&attempt(&backend, &tasks(1)).await);
    }
    server.behave(Behaviour::fault(Fault::Raw(whole.to_vec())));
    assert!(matches!(attempt(&backend, &tasks(1)).await, Answer::Status { code: 422, .. }));
}

#[tokio::test]
async fn a_closed_connection_is_not_tried_again() {
    for at in [At::BeforeReading, At::AfterReading, At::AfterApplying] {
        let server = serve(Behaviour::honest());
        let backend = backend(&config_for(&server));
        let tasks = tasks(2);
        // The second attempt re-uses the connection of the first: the case that clients like to repeat by themselves.
        attempt(&backend, &tasks[..1]).await;
        server.behave(Behaviour::fault(Fault::Close(at)));
        unreachable(&attempt(&backend, &tasks[1..]).await);
        let id = tasks[1].id.to_string();
        let (seen, applied) =
            server.log(|log| log.item(&id).map_or((0, false), |item| (item.seen, item.applied.is_some())));
        assert_eq!(seen, u32::from(at != At::BeforeReading), "{at:?}");
        assert_eq!(applied, at == At::AfterApplying, "{at:?}");
        assert_eq!(server.log(|log| log.connections), 1, "{at:?}: no second connection");
    }
}

#[tokio::test]
async fn rubbish_is_no_answer() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let huge_line = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; 2 << 20]].concat();
    for rubbish in [
        b"\0\xff\x16\x03\x01".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"HTTP/1.1 banana\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \0\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        huge_line,
    ] {
        server.behave(Behaviour::fault(Fault::Raw(rubbish)));
        unreachable(&attempt(&backend, &tasks(1)).await);
    }
}

/// Where the status is the outcome, an answer waiting on the connection would make the next task done unseen.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_no_later_request() {
    let listener = listener();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let answer = |status| format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        // The first connection stays open.
        let connections = [answer("200 OK").repeat(2), answer("422 No")].map(|answers| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answers.as_bytes()).unwrap();
            stream
        });
        connections.map(|mut stream| stream.read_to_end(&mut Vec::new()).is_ok())
    });
    let backend = backend(&BackendConfig { answer: AnswerMode::Status, ..config(&url) });
    assert!(matches!(attempt(&backend, &tasks(1)).await, Answer::Results(_)));
    let second = attempt(&backend, &tasks(1)).await;
    assert!(matches!(second, Answer::Status { code: 422, .. }), "{second:?}");
}

#[tokio::test]
async fn endless_answers_end() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for fault in [Fault::EndlessHeaders, Fault::EndlessBody(200), Fault::gzip_bomb(4 << 20)] {
        server.behave(Behaviour::fault(fault.clone()));
        unreachable(&attempt(&backend, &tasks(1)).await);
        server.until(|log| log.open == 0 || !matches!(fault, Fault::EndlessBody(_))).await;
    }
    server.behave(Behaviour::fault(Fault::EndlessBody(401)));
    let answer = attempt(&backend, &tasks(1)).await;
    assert!(matches!(answer, Answer::Status { code: 401, .. }), "the status stands: {answer:?}");

    let config = BackendConfig { request_timeout: SHORT, ..config_for(&server) };
    server.behave(Behaviour::fault(Fault::EndlessInterim));
    unreachable(&attempt(&crate::setup::backend(&config), &tasks(1)).await);
}

#[tokio::test]
async fn an_answer_of_just_the_limit_is_read() {
    let task = crate::setup::task("1");
    let results = format!(r#"{{"results":[{{"id":"{}","outcome":"ok"}}]}}"#, task.id);
    for (size, whole) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let server =
            serve(Behaviour::fault(Fault::status(200, &format!("{results}{}", " ".repeat(size - results.len())))));
        let answer = attempt(&backend(&config_for(&server)), std::slice::from_ref(&task)).await;
        assert_eq!(matches!(answer, Answer::Results(_)), whole, "{size}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = serve(Behaviour::honest());
    let hasty = BackendConfig { connect_timeout: SHORT, read_timeout: SHORT, ..config_for(&server) };
    let backend = backend(&hasty);
    for bytes in [0, 10, 90] {
        server.behave(Behaviour::fault(Fault::Hang(bytes)));
        unreachable(&attempt(&backend, &tasks(1)).await);
        server.until(|log| log.open == 0).await;
    }
}

#[tokio::test]
async fn an_answer_in_drops_is_given_up() {
    let listener = listener();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let dripping = std::thread::spawn(move || drip(&listener));
    let config = BackendConfig { request_timeout: SHORT, ..config(&url) };
    let answer = attempt(&backend(&config), &tasks(1)).await;
    assert!(unreachable(&answer).contains("no whole answer within 200ms"), "{answer:?}");
    tokio::task::spawn_blocking(move || dripping.join().unwrap()).await.unwrap();
}

/// Answers one byte at a time until the client goes.
fn drip(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    while stream.write_all(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn nobody_there() {
    let gone = listener().local_addr().unwrap();
    let refused = attempt(&backend(&config(&format!("http://{gone}/?key=hidden"))), &tasks(1)).await;
    assert!(unreachable(&refused).contains("refused"), "{refused:?}");
    assert!(!unreachable(&refused).contains("hidden"), "{refused:?}");

    let nowhere = format!("http://{}invalid/?key=hidden", "a123456789.".repeat(30));
    let unknown = attempt(&backend(&config(&nowhere)), &tasks(1)).await;
    assert!(!unreachable(&unknown).contains("hidden"), "{unknown:?}");
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_given_up() {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    // A backlog of 0 holds one connection; the kernel drops the SYN of the next.
    let _full = std::net::TcpStream::connect(address).unwrap();
    let hasty = BackendConfig { connect_timeout: SHORT, ..config(&format!("http://{address}/")) };
    let answer = attempt(&backend(&hasty), &tasks(1)).await;
    unreachable(&answer);
}

#[tokio::test]
async fn dropping_an_attempt_closes_its_connection() {
    let gate = Gate::closed();
    let server = serve(Behaviour { before_answering: Wait::Gate(gate.clone()), ..Behaviour::honest() });
    let backend = backend(&config_for(&server));
    let tasks = tasks(1);
    {
        let mut flight = Box::pin(attempt(&backend, &tasks));
        tokio::select! {
            answer = &mut flight => panic!("{answer:?}"),
            () = server.until(|log| log.in_flight == 1) => {}
        }
    }
    server.until(|log| log.open == 0 && log.in_flight == 0).await;
    gate.open();
    let Answer::Results(_) = attempt(&backend, &tasks).await else { panic!() };
    assert!(server.wait_until(|log| log.answered == 1, PATIENCE));
    assert_eq!(server.received()[0].seen, 2);
}
