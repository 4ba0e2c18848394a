//! A queue whose file was damaged while the daemon was off: it is found at the start or while working, and a start
//! carries over what is readable.

use std::fs;

use ferryd::demo::Behaviour;

use crate::device::{Device, HANG, tell};
use crate::servers::{config, serve};

const TASKS: usize = 3000;
/// SQLite's page size, as the store sets it.
const PAGE: usize = 4096;

#[test]
fn a_damaged_queue_is_mended_by_starting_again_and_the_rest_arrives() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start("");
    let ids = device.enqueue(TASKS);
    device.switch_off();
    let file = device.state().join("ferry.db");
    let mut bytes = fs::read(&file).expect("the queue");
    let middle = bytes.len() / PAGE / 2 * PAGE;
    bytes[middle..middle + 2 * PAGE].fill(0xa5);
    fs::write(&file, bytes).expect("a damaged queue");

    device.configure(&config(&server));
    device.switch_on();
    if !device.log().contains("the database was damaged") {
        tell(format_args!("the damage was met while working"));
        let (status, _) = device.ended();
        assert_eq!(status.code(), Some(1), "systemd must start it again\n{}", device.log());
        device.switch_on();
    }
    assert!(device.log().contains("the database was damaged"), "{}", device.log());
    assert!(server.wait_until(|log| log.applied() >= TASKS * 9 / 10, HANG), "{}", device.log());
    assert!(server.log(|log| log.items().iter().all(|item| ids.contains(&item.id))), "nothing was made up");
    let aside = fs::read_dir(device.state()).expect("a folder").filter_map(Result::ok);
    assert!(aside.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("damaged")), "it is kept");
}
