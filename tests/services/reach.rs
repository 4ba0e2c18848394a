//! How far the network reaches, by NetworkManager's own check. A stand-in: the real one would ask a server of its
//! distribution's. What becomes of its word is the scheduler's matter; here it is heard from the sense itself.

use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ferryd::model::Connectivity;
use ferryd::sense::services::{Orders, ServiceError, ServicesAt, Word, listen};
use tokio::sync::watch;

use crate::bus::PrivateBus;
use crate::device::HANG;
use crate::machine::*;

/// What NetworkManager says of its reach, as it is heard on this bus.
fn heard_on(bus: &PrivateBus) -> Receiver<Result<Option<Connectivity>, ServiceError>> {
    let (told, heard) = channel();
    let at = ServicesAt::Address(bus.address().to_owned());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let ((_upower, upower), (_ready, ready)) = (watch::channel(false), watch::channel(0));
        let orders = Orders { upower, ready };
        let end = runtime.block_on(listen(at, orders, |word| {
            if let Word::NetworkManager(word) = word {
                // The test may have ended.
                told.send(word.map(|said| said.connectivity)).ok();
            }
        }));
        end.expect("there is a bus");
    });
    heard
}

#[test]
fn networkmanagers_word_on_the_reach_counts_where_it_looks() {
    let bus = PrivateBus::start();
    let networkmanager = networkmanager(bus.address(), NO);
    let heard = heard_on(&bus);
    let next = || heard.recv_timeout(HANG).expect("it is heard");
    // It says `full`, as it does of any network that it does not look at.
    assert_eq!(next(), Ok(None));
    let reaches = [Connectivity::Portal, Connectivity::Limited, Connectivity::None, Connectivity::Unknown];
    networkmanager.set(NM_PATH, NM, "ConnectivityCheckEnabled", true);
    assert_eq!(next(), Ok(Some(Connectivity::Full)));
    for (number, reach) in [2u32, 3, 1, 0].into_iter().zip(reaches) {
        networkmanager.set(NM_PATH, NM, "Connectivity", number);
        assert_eq!(next(), Ok(Some(reach)));
    }
    networkmanager.set(NM_PATH, NM, "Connectivity", 5u32);
    assert!(next().is_err());
    networkmanager.set(NM_PATH, NM, "ConnectivityCheckEnabled", false);
    assert_eq!(next(), Ok(None), "a number that nobody uses harms nobody");
    networkmanager.set(NM_PATH, NM, "ConnectivityCheckEnabled", "yes");
    assert!(next().is_err());
    drop(networkmanager);
    assert_eq!(next(), Ok(None));
}
