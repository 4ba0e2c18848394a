//! logind (org.freedesktop.login1(5)): that the device is about to sleep, and that it has woken. Sleep is delayed until
//! whoever listens is ready for it, as far as logind lets us.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use super::follow::{Following, Source};
use super::line::{Ear, Line, Question, Service, ServiceError, Unanswered, nonsense};
use crate::sense::clock;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// The clocks tell of no shorter sleep.
const SLEPT: Duration = Duration::from_millis(500);

pub(super) static SERVICE: Service = Service {
    names: &[NAME],
    paths: &[PATH],
    hints: &["type='signal',sender='org.freedesktop.login1',path='/org/freedesktop/login1',\
         interface='org.freedesktop.login1.Manager',member='PrepareForSleep'"],
};

/// How it stands with sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// The device is awake.
    Awake,
    /// It is about to sleep, for the so many-th time.
    Near(u64),
}

/// Whether logind prepares for sleep; `None` if there is no logind.
#[derive(Debug)]
struct Preparing;

impl Source for Preparing {
    type Word = Option<bool>;

    async fn read(&self, line: &Line, ear: &Ear) -> Result<Self::Word, Unanswered> {
        // Not all properties at once: for some logind looks at boot loaders and batteries.
        Ok(Some(line.property(ear, (NAME, PATH, MANAGER), "PreparingForSleep").await?))
    }
}

/// What delays sleep, while it is held.
#[derive(Debug, Default)]
struct Inhibitor {
    held: Option<OwnedFd>,
    /// Said once in the log.
    refused: bool,
}

impl Inhibitor {
    async fn take(&mut self, line: &Line, ear: &Ear) {
        if self.held.is_some() {
            return;
        }
        match tokio::time::timeout(Duration::from_secs(5), inhibit(line, ear)).await {
            Ok(Ok(descriptor)) => (self.held, self.refused) = (Some(descriptor), false),
            // There is nothing that could send the device to sleep.
            Ok(Err(Unanswered::Absent | Unanswered::NoObject)) => {}
            Ok(Err(Unanswered::Failed(error))) => self.refuse(&error),
            Err(_) => self.refuse(&ServiceError::Silent),
        }
    }

    fn refuse(&mut self, error: &ServiceError) {
        if !self.refused {
            tracing::warn!("logind does not let sleep be delayed, which may cut what is under way: {error}");
        }
        self.refused = true;
    }
}

async fn inhibit(line: &Line, ear: &Ear) -> Result<OwnedFd, Unanswered> {
    let question = Question { service: NAME, path: PATH, interface: MANAGER, member: "Inhibit" };
    let why = ("sleep", "ferryd", "Uploads come to a safe point", "delay");
    let answer = line.ask(ear, question, &why).await?;
    let descriptor: zbus::OwnedFd = answer.body().deserialize().map_err(|error| nonsense("Inhibit", error))?;
    Ok(descriptor.into())
}

/// Tells how it stands with sleep: once at the start, and when it changes. Delays it until `ready` is the number of the
/// sleep that is near. A sleep that had come and gone when logind was heard is told of afterwards. Never ends.
pub(super) async fn follow(
    line: &Line,
    ear: &Ear,
    mut ready: watch::Receiver<u64>,
    tell: impl Fn(Result<Sleep, ServiceError>),
) {
    let (mut following, mut inhibitor) = (Following::new(), Inhibitor::default());
    let (mut count, mut is_near, mut slept) = (0, false, clock::slept());
    loop {
        let word = following.look(&Preparing, line, ear).await;
        let was_near = is_near;
        is_near = following.says(&Some(true));
        let unheard = !is_near && !was_near && clock::slept().saturating_sub(slept) > SLEPT;
        if unheard || (is_near && !was_near) {
            count += 1;
        }
        if unheard {
            tell(Ok(Sleep::Near(count)));
            tell(Ok(Sleep::Awake));
        } else if let Some(word) = word {
            tell(word.map(|_| if is_near { Sleep::Near(count) } else { Sleep::Awake }));
        }
        if following.says(&Some(false)) {
            slept = clock::slept();
            inhibitor.take(line, ear).await;
        } else if following.says(&None) {
            inhibitor.held = None;
        }
        let mut hint = pin!(following.hint(ear));
        loop {
            tokio::select! {
                () = &mut hint => break,
                Ok(()) = ready.changed() => {}
            }
            if is_near && *ready.borrow_and_update() == count {
                inhibitor.held = None;
            }
        }
    }
}
