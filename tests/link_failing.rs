//! The link sense when it cannot see. Alone in its process, because it takes all file descriptors away.

#[path = "common/netns.rs"]
mod netns;
#[path = "common/sensed.rs"]
mod sensed;

use std::fs::File;
use std::os::fd::AsRawFd;

use ferryd::sense::link::LinkError;
use netns::Pair;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sensed::Sensed;

/// Lets this process open so many files more.
fn leave(free: usize) {
    let open: Vec<File> = (0..=free).map(|_| File::open("/dev/null").expect("a file")).collect();
    let next = open.last().map_or(0, AsRawFd::as_raw_fd);
    limit(u64::try_from(next).expect("a descriptor"));
}

fn limit(current: u64) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..getrlimit(Resource::Nofile) })
        .expect("a lower limit");
}

#[test]
fn not_to_see_is_an_error_until_it_sees_again() {
    if !netns::require() {
        return;
    }
    let usual = getrlimit(Resource::Nofile).current.unwrap();
    let pair = Pair::new();
    pair.default_route();
    for free in [0, 1] {
        let sensed = Sensed::start_with(&pair.device, &["203.0.113.7"], move || leave(free), |_| {});
        assert_eq!(sensed.next_at().1, Err(LinkError::Open(Errno::MFILE)), "{free} free");
        limit(usual);
        if free == 0 {
            // Deaf: it looks again when it is asked something else.
            sensed.retarget(&["203.0.113.8"]);
        } else {
            // Blind but not deaf: the next hint will do.
            pair.device.ip("route add 198.51.100.0/24 via 10.77.0.1");
        }
        assert!(sensed.next().connected, "{free} free");
    }
}
