//! The way to sleep and back: what runs comes to a safe point, then the device may sleep; when it wakes, the world is
//! read anew.

use tracing::info;

use super::run::Daemon;
use crate::model::Now;
use crate::sense::clock;
use crate::sense::services::Sleep;

impl Daemon {
    /// logind says how it stands. Whoever calls this tells the core of the world.
    pub(super) fn sleep(&mut self, sleep: Sleep, now: Now) {
        match sleep {
            Sleep::Near(number) => {
                info!("the device is about to sleep, {} attempts end", self.attempts.count());
                self.services.near = Some(number);
                self.world.suspending = true;
            }
            Sleep::Awake if self.world.suspending => {
                info!("the device is awake");
                self.services.near = None;
                self.world.clock_unset = clock::is_unset(now.wall);
                self.world.suspending = false;
                self.wake_up();
            }
            Sleep::Awake => {}
        }
    }

    /// Lets the device sleep once nothing runs and every end is on disk.
    pub(super) fn let_sleep(&self) {
        let Some(number) = self.services.near else { return };
        if self.attempts.count() == 0 && self.unclaimed == 0 && self.unwritten == 0 {
            self.services.ready.send_if_modified(|ready| std::mem::replace(ready, number) != number);
        }
    }

    /// What was true before the sleep may no longer be.
    fn wake_up(&mut self) {
        self.wiring.forget_connections();
        self.wiring.read_power();
        self.wiring.read_radios();
        self.surroundings_changed();
        self.tell_abandoned();
    }
}
