//! Whose turn it is: two files at once and one slot for what is urgent; cancelled uploads are ended at the server.

use ferryd::demo::{Behaviour, Gate, Server, UploadState, Wait};
use zbus::Variant;

use super::files::{assert_arrived, config, file, put};
use crate::device::{Device, HANG};

const CHUNK: usize = 64 * 1024;

fn server(behaviour: Behaviour) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    Server::start(listener, behaviour).expect("a server")
}

/// The server takes some bytes of a chunk and no more.
fn stuck(gate: &Gate) -> Behaviour {
    Behaviour { waiting: Some("PATCH"), amid: Some((1000, Wait::Gate(gate.clone()))), ..Behaviour::honest() }
}

#[test]
fn two_files_go_at_once_and_metadata_has_its_slot() {
    let gate = Gate::closed();
    let server = server(Behaviour::honest());
    server.behave_files(Some(stuck(&gate)));
    let mut device = Device::start(&config(&server, CHUNK));
    let files: Vec<_> = (0..3).map(|n| file(&device, &format!("{n}.bin"), 200_000 + n)).collect();
    let paths: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
    let ids = put(&device, &paths);
    assert!(server.wait_until(|log| log.uploads().iter().filter(|upload| upload.offset > 0).count() == 2, HANG));
    device.until_strategy("photo", "Running", 2);
    let urgent = device.enqueue_one();
    device.until_done(&[urgent]);
    assert_eq!((server.received().len(), server.uploads().len()), (1, 2));
    gate.open();
    device.until_done(&ids);
    assert_arrived(&server, &files.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>());
}

#[test]
fn no_chunk_begins_while_metadata_is_on_its_way() {
    let (amid, unanswered) = (Gate::closed(), Gate::closed());
    let server = server(Behaviour { before_answering: Wait::Gate(unanswered.clone()), ..Behaviour::honest() });
    server.behave_files(Some(stuck(&amid)));
    let mut device = Device::start(&config(&server, CHUNK));
    let (path, bytes) = file(&device, "a.bin", 400_000);
    let ids = put(&device, &[path]);
    assert!(server.wait_until(|log| log.uploads().iter().any(|upload| upload.offset > 0), HANG));
    let urgent = device.enqueue_one();
    assert!(server.wait_until(|log| log.applied() == 1, HANG), "{}", device.log());
    amid.open();
    // The chunk that was on its way ends, and that is told; another would have been told with it.
    device.until("one chunk is confirmed", |device| (device.task(&ids[0])["done"] == CHUNK).then_some(()));
    assert_eq!(server.uploads()[0].patches, 1);
    unanswered.open();
    device.until_done(&[urgent, ids[0].clone()]);
    assert_arrived(&server, &[bytes]);
}

#[test]
fn a_running_upload_shows_how_far_it_is_and_a_cancelled_one_is_ended_at_the_server() {
    let gate = Gate::closed();
    let server = server(Behaviour::honest());
    let mut device = Device::start(&config(&server, CHUNK));
    let (path, bytes) = file(&device, "a.bin", 400_000);
    server.behave_files(Some(Behaviour {
        waiting: Some("PATCH"),
        before_answering: Wait::Gate(gate.clone()),
        ..Behaviour::honest()
    }));
    let ids = put(&device, &[path]);
    assert!(server.wait_until(|log| log.uploads().iter().any(|upload| upload.offset > 0), HANG));
    let task = device.until_task(&ids[0], "running");
    assert_eq!((&task["size"], &task["done"]), (&bytes.len().into(), &0.into()));
    let cancelled = device.call("Tasks", "Cancel", &vec![ids[0].as_str()]).expect("it is cancelled");
    assert_eq!(cancelled[0], 1);
    let ended = |log: &ferryd::demo::Log| log.uploads().iter().all(|upload| upload.state == UploadState::Terminated);
    assert!(server.wait_until(ended, HANG), "{:?}\n{}", server.uploads(), device.log());
    device.until("its file is gone", |device| {
        device.state().join("spool").read_dir().is_ok_and(|mut files| files.next().is_none()).then_some(())
    });
    gate.open();
}

#[test]
fn what_a_done_file_came_to_can_be_read() {
    let server = server(Behaviour::honest());
    let mut device = Device::start(&config(&server, CHUNK));
    let (path, bytes) = file(&device, "a.jpg", 150_000);
    let ids = put(&device, &[path]);
    device.until_done(&ids);
    let result = &device.task(&ids[0])["result"];
    let size = bytes.len() as u64;
    assert_eq!((&result["sent"], &result["original"]), (&size.into(), &size.into()));
    assert!(result["url"].as_str().is_some_and(|url| url.starts_with(&format!("http://{}/files/", server.address()))));
    let upload = server.uploads().remove(0);
    assert_eq!((upload.metadata["filename"].as_str(), upload.metadata["filetype"].as_str()), ("a.jpg", "image/jpeg"));
    assert!(
        device
            .call("Tasks", "Enqueue", &("photo", "{}", std::collections::BTreeMap::<&str, Variant<'_>>::new()))
            .is_err()
    );
}
