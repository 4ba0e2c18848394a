//! Sleep that is near: a moment for what runs, nothing new, and all of it again in the morning.

use std::time::Duration;

use super::rig::{Rig, config, ok, results, status, wifi, world};
use crate::model::{Answer, AtChunk, Cut, Reason, World};
use crate::schedule::{Input, Wake};

const LIMIT: Duration = Duration::from_secs(2);

fn near(suspending: bool) -> Input {
    Input::World(World { suspending, ..world(&wifi()) })
}

#[test]
fn what_runs_has_a_moment_and_is_cut_then() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    rig.enqueue("metadata", 1);
    let running: Vec<_> = rig.running.keys().copied().collect();
    rig.feed(near(true));
    let limit = rig.now.moment + LIMIT;
    assert_eq!(rig.core.poll_timeout(), Some((limit, Wake::SleepLimit)));
    assert_eq!(rig.log.at_chunk.last(), Some(&(running[0], AtChunk::End(Cut::Condition))));
    rig.enqueue("metadata", 1);
    assert_eq!(rig.running.len(), 2, "nothing new starts");
    rig.pass(LIMIT - Duration::from_millis(1));
    // More news of the same does not put it off.
    rig.feed(near(true));
    assert_eq!((rig.core.poll_timeout(), rig.log.aborted.len()), (Some((limit, Wake::SleepLimit)), 0));
    rig.pass(Duration::from_millis(1));
    rig.feed(Input::Woken);
    let cut: Vec<_> = running.iter().map(|attempt| (*attempt, Cut::Condition)).collect();
    assert_eq!(rig.log.aborted, cut);
    assert_eq!(rig.core.poll_timeout(), None, "what is cut is waited for without end");
    for attempt in running {
        rig.finish(attempt, Answer::Cut(Cut::Condition));
    }
    assert_eq!((rig.running.len(), rig.core.poll_timeout()), (0, None), "the device sleeps");
    rig.feed(near(false));
    assert_eq!(rig.running.len(), 2, "a photo, and both tasks of metadata in one request");
}

#[test]
fn what_ends_in_time_is_waited_for_and_a_sleep_that_comes_to_nothing_cuts_nothing() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    let (photo, tasks) = rig.first_running();
    rig.feed(near(true));
    rig.pass(LIMIT / 2);
    rig.feed(near(false));
    assert_eq!((rig.log.aborted.len(), rig.core.poll_timeout()), (0, None));
    assert_eq!(rig.log.at_chunk.last(), Some(&(photo, AtChunk::GoOn)));
    assert_eq!(rig.log.linked, [photo], "what was on its way may be lost");
    rig.finish(photo, results(&tasks, &ok()));
    assert!(rig.running.is_empty());
}

#[test]
fn ailing_backends_are_asked_again_in_the_morning() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    let (attempt, _) = rig.first_running();
    rig.finish(attempt, status(404));
    assert_eq!(rig.core.ill().map(|(_, reason, _)| reason).collect::<Vec<_>>(), [Reason::BackendConfig]);
    rig.feed(near(true));
    assert_eq!(rig.core.poll_timeout(), None, "nobody is asked in the night");
    rig.feed(near(false));
    assert_eq!(rig.running.len(), 1);
}
