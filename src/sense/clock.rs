//! The two clocks of the machine, the loop's one alarm, and the news that somebody set the wall clock. Only this file
//! (and the bus edge, through [`now`]) reads a clock. Waiting is the kernel's: timerfds, so that idle means asleep.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::model::{Moment, Now, WallTime};

/// Seconds from the epoch to the start of the year of this release (2026-01-01T00:00:00Z). Raised with each release; a
/// build that sets `SOURCE_DATE_EPOCH`, as distributions do, uses that instead. Never the time of compilation: the same
/// source must give the same program.
const RELEASED: u64 = 1_767_225_600;

/// [`RELEASED`], or `SOURCE_DATE_EPOCH` as it was when this was compiled.
const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) => seconds,
        Err(_) => RELEASED,
    },
    None => RELEASED,
};

/// A wall clock that moved less than this against the boot clock has not jumped: slewing (NTP) adds up to as much within
/// hours, and no due time is spoilt by it.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Both clocks, read together.
pub fn now() -> Now {
    Now { moment: Moment::since_boot(read(ClockId::Boottime)), wall: micros(wall_clock()) }
}

/// How long the device has slept since boot.
pub fn slept() -> Duration {
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// Whether the wall clock shows a time before this program existed: nobody has set it since the battery ran empty.
pub fn is_unset(wall: WallTime) -> bool {
    wall < WallTime::from_micros(BUILT * 1_000_000)
}

/// The one deadline of the loop, on CLOCK_BOOTTIME: it counts on through suspend.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// Whether it may still go off, or has gone off unheard.
    armed: bool,
}

impl Alarm {
    /// An alarm that is not set. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self { timer: watched(timer(TimerfdClockId::Boottime)?)?, armed: false })
    }

    /// Goes off at this moment, at once if it has passed; `None` = never. Replaces what was set before, also if that went
    /// off and nobody waited for it.
    pub fn set(&mut self, at: Option<Moment>) -> io::Result<()> {
        if at.is_none() && !self.armed {
            return Ok(());
        }
        // All zero disarms a timerfd, so the moment of boot is a nanosecond late.
        let at = at.map_or(Duration::ZERO, |at| at.elapsed_since_boot().max(Duration::from_nanos(1)));
        arm(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, at)?;
        self.armed = !at.is_zero();
        Ok(())
    }

    /// Resolves once for each time the alarm goes off. Cancel-safe: a wait that is dropped loses nothing.
    pub async fn wait(&self) -> io::Result<()> {
        expiry(&self.timer).await
    }
}

/// Tells when the wall clock is set: by a person, by NTP in one step, by a modem.
#[derive(Debug)]
pub struct WallJumps {
    timer: AsyncFd<OwnedFd>,
    tolerance: Duration,
    /// The wall clock's lead over the boot clock when last looked at.
    lead: i128,
}

impl WallJumps {
    /// Watches from now on. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Self::beyond(TOLERANCE)
    }

    fn beyond(tolerance: Duration) -> io::Result<Self> {
        let timer = timer(TimerfdClockId::Realtime)?;
        watch_for_set(&timer)?;
        Ok(Self { timer: watched(timer)?, tolerance, lead: lead() })
    }

    /// Resolves when the wall clock has jumped by a second or more. The kernel also reports a resume from suspend and
    /// settings that change nothing; those pass unseen, for the boot clock moved along. Cancel-safe.
    pub async fn next(&mut self) -> io::Result<()> {
        loop {
            match expiry(&self.timer).await {
                Ok(()) => watch_for_set(self.timer.get_ref())?,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
            let lead = lead();
            let jump = lead.abs_diff(self.lead);
            self.lead = lead;
            if jump >= self.tolerance.as_nanos() {
                return Ok(());
            }
        }
    }
}

/// Arms a realtime timer so far ahead that it never goes off but is cancelled each time the clock is set.
fn watch_for_set(timer: &OwnedFd) -> io::Result<()> {
    const NEVER: Duration = Duration::from_secs(1 << 33);
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match arm(timer, flags, NEVER) {
        // The clock was set since the last look; the timer is armed all the same (timerfd_create(2)).
        Err(rustix::io::Errno::CANCELED) => Ok(()),
        other => Ok(other?),
    }
}

fn timer(clock: TimerfdClockId) -> io::Result<OwnedFd> {
    Ok(timerfd_create(clock, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?)
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe`, for types that may change their descriptor; an OwnedFd cannot"
)]
pub(super) fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer)
}

fn arm(timer: &OwnedFd, flags: TimerfdTimerFlags, at: Duration) -> rustix::io::Result<()> {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let value = Timespec { tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX), tv_nsec: at.subsec_nanos().into() };
    timerfd_settime(timer, flags, &Itimerspec { it_interval: never, it_value: value })?;
    Ok(())
}

/// Waits until the timer can be read and reads it, in one step as seen from outside.
async fn expiry(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = timer.readable().await?;
        let mut count = [0; 8];
        match ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?)) {
            Ok(read) => return read.map(|_| ()),
            Err(_would_block) => {}
        }
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Since 1970; a wall clock before that is as unset as one at 1970. Asked of the C library, unlike the others, so that a
/// program may be shown another date than its machine (faketime(1)).
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn micros(since_epoch: Duration) -> WallTime {
    WallTime::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

/// Nanoseconds by which the wall clock is ahead of the boot clock: constant but for slewing and jumps.
fn lead() -> i128 {
    let [wall, boot] = [wall_clock(), read(ClockId::Boottime)].map(|clock| clock.as_nanos().cast_signed());
    wall - boot
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::io::Write;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// What one poll gives; the future is dropped then, as by a `select!` that another arm won.
    async fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[test]
    fn now_reads_the_boot_clock_and_the_wall_clock() {
        let system = read(ClockId::Realtime);
        let (first, second) = (now(), now());
        assert!(second.moment >= first.moment);
        assert!(first.wall >= micros(system));
        assert!(!is_unset(first.wall), "the machine's own clock is set");
    }

    #[test]
    fn a_clock_older_than_the_build_is_unset() {
        assert!(is_unset(WallTime::from_micros(0)));
        assert!(is_unset(WallTime::from_micros(BUILT * 1_000_000 - 1)));
        assert!(!is_unset(WallTime::from_micros(BUILT * 1_000_000)));
    }

    #[tokio::test]
    async fn the_alarm_goes_off_not_before_its_moment() -> Outcome {
        let mut alarm = Alarm::new()?;
        let at = now().moment + Duration::from_millis(30);
        alarm.set(Some(at))?;
        assert!(polled_once(alarm.wait()).await.is_none());
        alarm.wait().await?;
        assert!(now().moment >= at);
        assert!(polled_once(alarm.wait()).await.is_none(), "once for each time it goes off");
        Ok(())
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_goes_off_at_once() -> Outcome {
        let mut alarm = Alarm::new()?;
        for past in [Moment::since_boot(Duration::ZERO), now().moment] {
            alarm.set(Some(past))?;
            alarm.wait().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_wait_dropped_loses_nothing_and_what_is_unset_stays_silent() -> Outcome {
        let (mut alarm, mut later) = (Alarm::new()?, Alarm::new()?);
        alarm.set(Some(now().moment + Duration::from_millis(10)))?;
        assert!(polled_once(alarm.wait()).await.is_none());
        later.set(Some(now().moment + Duration::from_millis(30)))?;
        later.wait().await?;
        alarm.wait().await?;

        alarm.set(Some(now().moment))?;
        alarm.set(None)?;
        later.set(Some(now().moment + Duration::from_millis(10)))?;
        later.wait().await?;
        assert!(polled_once(alarm.wait()).await.is_none());
        Ok(())
    }

    /// Sets the clock to what it shows. As root only; it moves by a microsecond or so.
    fn set_wall_clock_to_itself() -> rustix::io::Result<()> {
        rustix::time::clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime))
    }

    #[tokio::test]
    async fn setting_the_wall_clock_is_news_if_it_moved() -> Outcome {
        let mut any = WallJumps::beyond(Duration::ZERO)?;
        let mut real = WallJumps::new()?;
        assert!(polled_once(any.next()).await.is_none());
        for _ in 0..2 {
            if set_wall_clock_to_itself() == Err(rustix::io::Errno::PERM) {
                // Not by `eprintln!`, which the test harness keeps to itself if the test passes.
                let _closed = writeln!(io::stderr(), "NOT RUN: a set clock is noticed: not allowed to set it here");
                return Ok(());
            }
            any.next().await?;
        }
        assert!(polled_once(real.next()).await.is_none(), "it shows the same time as before");
        real.lead -= 2 * TOLERANCE.as_nanos().cast_signed();
        set_wall_clock_to_itself()?;
        real.next().await?;
        Ok(())
    }
}
