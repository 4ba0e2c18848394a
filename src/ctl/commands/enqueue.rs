//! `enqueue`: one task, or one a line, many calls on their way at once.

use std::io::{BufRead as _, Read as _};

use tokio::sync::mpsc;

use super::lines::{Answer, Line, Lines, WINDOW, ranges};
use super::wait::{Ends, wait};
use crate::ctl::arguments::{Common, Enqueue};
use crate::ctl::client::{Client, News, Options, first};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::{Bars, Printer};
use crate::ctl::views::EnqueueView;
use crate::model::WallTime;

type Input = mpsc::Receiver<Result<Line, Failure>>;

pub(super) async fn enqueue(client: &mut Client, printer: &mut Printer<'_>, mut asked: Enqueue) -> Result<(), Failure> {
    let mut owner = match asked.retry {
        true => client.follow().await?,
        false => Some(client.follow_present().await?),
    };
    if asked.wait && owner.is_some() {
        client.subscribe(false).await?;
    }
    let input = match (asked.lines, asked.payload.take()) {
        (true, _) => read_lines(),
        (false, payload) => one(payload)?,
    };
    let mut pipeline = Pipeline::new(&asked, input, printer.now());
    pipeline.run(client, printer, &mut owner).await?;
    let Pipeline { ends, ids, failure, .. } = pipeline;
    if asked.wait {
        wait(client, printer, ids, ends, &mut Bars::default()).await?;
    }
    failure.map_or(Ok(()), Err)
}

/// One task's payload: as given, or all of standard input.
fn one(payload: Option<String>) -> Result<Input, Failure> {
    let payload = match payload {
        Some(payload) if payload != "-" => payload,
        _ => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(unreadable)?;
            text.trim().to_owned()
        }
    };
    let (sender, input) = mpsc::channel(1);
    drop(sender.try_send(Ok(Line { number: 1, payload })));
    Ok(input)
}

/// The lines of standard input, read on a thread of their own as they are wanted; blank ones count but are passed over.
fn read_lines() -> Input {
    let (sender, input) = mpsc::channel(WINDOW);
    std::thread::spawn(move || {
        for (index, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line.map(|payload| Line { number: index + 1, payload }).map_err(unreadable);
            let blank = line.as_ref().is_ok_and(|line| line.payload.trim().is_empty());
            if !blank && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    input
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::said(Exit::Failed, format!("reading standard input: {error}"))
}

/// What `enqueue` is in the middle of.
struct Pipeline<'a> {
    asked: &'a Enqueue,
    input: Input,
    now: WallTime,
    lines: Lines,
    ends: Ends,
    /// Tasks acknowledged, in the order of lines.
    ids: Vec<String>,
    /// Lines acknowledged.
    acknowledged: Vec<usize>,
    /// What to end with: the first refusal, or why the input ended early.
    failure: Option<Failure>,
}

impl<'a> Pipeline<'a> {
    fn new(asked: &'a Enqueue, input: Input, now: WallTime) -> Self {
        let (lines, ends) = (Lines::default(), Ends::default());
        Self { asked, input, now, lines, ends, ids: Vec::new(), acknowledged: Vec::new(), failure: None }
    }

    /// Until every line of input was answered and reported. `owner` is the daemon to send to.
    async fn run(
        &mut self,
        client: &mut Client,
        printer: &mut Printer<'_>,
        owner: &mut Option<String>,
    ) -> Result<(), Failure> {
        if owner.is_none() {
            printer.say("ferryd is not there; waiting for it");
            client.nudge().await?;
        }
        let mut reading = true;
        loop {
            self.send(client, owner.as_deref()).await?;
            self.report(printer)?;
            if !reading && self.lines.is_empty() {
                return Ok(());
            }
            if owner.is_none() && !self.asked.retry && !self.lines.in_flight() {
                return Err(self.give_up(printer, "ferryd went away")?);
            }
            tokio::select! {
                line = self.input.recv(), if reading && self.lines.has_room() => reading = self.read(line),
                news = client.next() => match news {
                    Ok(news) => self.hear(client, printer, news, owner).await?,
                    Err(Failure::Said { words, .. }) => return Err(self.give_up(printer, &words)?),
                    Err(failure) => return Err(failure),
                },
            }
        }
    }

    /// Takes a line of input; false at its end.
    fn read(&mut self, line: Option<Result<Line, Failure>>) -> bool {
        match line {
            Some(Ok(line)) => self.lines.push(line),
            Some(Err(failure)) => {
                self.failure = Some(failure);
                return false;
            }
            None => return false,
        }
        true
    }

    /// Sends all that may go now.
    async fn send(&mut self, client: &mut Client, owner: Option<&str>) -> Result<(), Failure> {
        let Some(owner) = owner else { return Ok(()) };
        while let Some(line) = self.lines.to_send(owner) {
            let number = line.number;
            let request = request_id(self.asked, number);
            let options = options(self.asked, request.as_deref(), self.now);
            let body = (self.asked.strategy.as_str(), line.payload.as_str(), options);
            let serial = client.post(owner, "Enqueue", &body).await?;
            self.lines.sent(number, serial, owner);
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        client: &mut Client,
        printer: &mut Printer<'_>,
        news: News,
        owner: &mut Option<String>,
    ) -> Result<(), Failure> {
        match news {
            News::Answer { serial, result: Ok(arguments) } => {
                let id = first(arguments).as_str().unwrap_or_default().to_owned();
                self.lines.answered(serial, Answer::Acknowledged(id));
            }
            News::Answer { serial, result: Err(failure) } if failure.is_loss() => {
                let to = self.lines.lost(serial);
                if to.is_some() && to == *owner {
                    *owner = None;
                }
            }
            News::Answer { serial, result: Err(failure) } => {
                self.lines.answered(serial, Answer::Refused(failure));
            }
            News::Owner(None) if self.asked.retry => {
                printer.say("ferryd went away; waiting for it to come back");
                *owner = None;
                client.nudge().await?;
            }
            News::Owner(Some(name)) if self.asked.retry => {
                printer.say("ferryd is there");
                *owner = Some(name);
                self.subscribe(client).await?;
            }
            // Whoever takes its place may have taken the lines already: without a request id nothing is sent twice.
            News::Owner(_) => *owner = None,
            News::Task { id, state, detail, .. } => self.ends.heard(id, state, &detail),
            News::Progress { .. } | News::Lagged(_) | News::Properties { .. } => {}
        }
        Ok(())
    }

    /// Subscribes with a daemon that came, if ends are to be heard of; if it went again, another will come.
    async fn subscribe(&self, client: &mut Client) -> Result<(), Failure> {
        if !self.asked.wait {
            return Ok(());
        }
        client.subscribe(false).await.or_else(|failure| if failure.is_loss() { Ok(()) } else { Err(failure) })
    }

    /// Reports the lines answered, as far as all before them are.
    fn report(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        while let Some((line, answer)) = self.lines.pop() {
            self.report_one(printer, line, answer)?;
        }
        Ok(())
    }

    fn report_one(&mut self, printer: &mut Printer<'_>, line: usize, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Acknowledged(id) => {
                printer.enqueued(&EnqueueView::Acknowledged { line, id: id.clone() })?;
                self.ids.push(id);
                self.acknowledged.push(line);
            }
            Answer::Refused(Failure::Said { exit, words }) if self.asked.lines => {
                printer.enqueued(&EnqueueView::Refused { line, error: words })?;
                self.failure.get_or_insert(Failure::Exit(exit));
            }
            Answer::Refused(failure) => self.failure = Some(failure),
        }
        Ok(())
    }

    /// Says which lines were acknowledged and which were not, and what to end with.
    fn give_up(&mut self, printer: &mut Printer<'_>, why: &str) -> Result<Failure, Failure> {
        let (answered, open) = std::mem::take(&mut self.lines).abandon();
        for (line, answer) in answered {
            self.report_one(printer, line, answer)?;
        }
        if !self.asked.lines {
            return Ok(Failure::said(Exit::Unreachable, format!("{why} before it acknowledged the task")));
        }
        for line in &open {
            printer.enqueued(&EnqueueView::Unacknowledged { line: *line, unacknowledged: true })?;
        }
        let known = match self.acknowledged.as_slice() {
            [] => "no line is acknowledged".to_owned(),
            lines => format!("acknowledged are lines {}", ranges(lines)),
        };
        let unknown = match open.as_slice() {
            [] => "nothing was on its way".to_owned(),
            lines => format!("lines {} are not, though they may have been taken", ranges(lines)),
        };
        let advice = "what follows was not sent. With --request-id and --retry nothing is lost or doubled";
        Ok(Failure::said(Exit::Unreachable, format!("{why}: {known}; {unknown}; {advice}")))
    }
}

fn request_id(asked: &Enqueue, line: usize) -> Option<String> {
    let name = asked.common.request_id.as_ref()?;
    Some(if asked.lines { format!("{name}-{line}") } else { name.clone() })
}

fn options<'a>(asked: &'a Enqueue, request_id: Option<&'a str>, now: WallTime) -> Options<'a> {
    let mut options = common_options(&asked.common, request_id, now);
    options.extend(asked.on_existing.as_deref().map(|how| ("on_existing", how.into())));
    options
}

/// What a task says whatever it carries.
pub(super) fn common_options<'a>(asked: &'a Common, request_id: Option<&'a str>, now: WallTime) -> Options<'a> {
    let mut options = Options::new();
    let texts = [
        ("request_id", request_id),
        ("key", asked.key.as_deref()),
        ("app", asked.app.as_deref()),
        ("network", asked.network.as_deref()),
    ];
    options.extend(texts.into_iter().filter_map(|(key, text)| Some((key, text?.into()))));
    let lists = [("tags", &asked.tag), ("after", &asked.after)];
    options.extend(lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key, list.into())));
    options.extend(asked.expires.map(|when| ("expires", when.wall(now).as_micros().into())));
    options.extend(asked.charging.map(|charging| ("charging", charging.into())));
    let floor = asked.min_battery.as_ref().and_then(|floor| floor.parse::<u32>().ok());
    options.extend(floor.map(|floor| ("min_battery", floor.into())));
    options
}
