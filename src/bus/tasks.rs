//! `org.ferryd.Ferry1.Tasks`: work handed over, looked at, taken back.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;

use tokio::sync::oneshot;
use zbus::Variant;

use super::Command;
use super::access::{Action, Interaction};
use super::call::{Ask, Call, Effect, Method, Outcome, Reply, Then};
use super::desk::{Desk, stopping};
use super::error::{Refusal, quoted};
use super::files;
use super::options::Options;
use super::payload;
use super::route::{Interface, unknown_method};
use super::task_options::{TaskOptions, assume, filter};
use super::wire;
use crate::model::{
    Assume, Block, Config, Filter, Kind, NewTask, Overrides, Payload, Reason, State, Strategy, Task, TaskId,
};
use crate::store::{IdsError, Scope};

/// The most ids of one `Cancel`, `Retry` or `Discard`.
const IDS_MAX: usize = 1000;

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Tasks",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Tasks.xml"),
    methods: &[
        Method { name: "Enqueue", takes: "ssa{sv}", gives: "s", effect: Effect::Write },
        Method { name: "EnqueueBatch", takes: "sasa{sv}", gives: "as", effect: Effect::Write },
        Method { name: "EnqueueFile", takes: "sha{sv}", gives: "s", effect: Effect::File },
        Method { name: "Get", takes: "s", gives: "a{sv}", effect: Effect::Read },
        Method { name: "List", takes: "a{sv}su", gives: "aa{sv}s", effect: Effect::Read },
        Method { name: "Cancel", takes: "as", gives: "u", effect: Effect::Write },
        Method { name: "Retry", takes: "as", gives: "u", effect: Effect::Write },
        Method { name: "Discard", takes: "as", gives: "u", effect: Effect::Write },
        Method { name: "Explain", takes: "sa{sv}", gives: "a(stsa{sv})", effect: Effect::Read },
    ],
    properties: &[],
};

/// Carries out a call of `method`. What is written is submitted before this returns.
pub(super) fn call(desk: &Desk, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    match method {
        "Enqueue" => enqueue(desk, call),
        "EnqueueBatch" => enqueue_batch(desk, call),
        "EnqueueFile" => files::enqueue_file(desk, call),
        "Get" => get(desk, call),
        "List" => list(desk, call),
        "Cancel" | "Retry" | "Discard" => by_ids(desk, call, method),
        "Explain" => explain(desk, call),
        _ => Err(unknown_method(INTERFACE.name, method)),
    }
}

fn enqueue(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (strategy, payload, options): (&str, &str, HashMap<&str, Variant<'_>>) =
        body.deserialize().map_err(Refusal::invalid)?;
    let config = desk.config();
    let strategy = strategy_of(Kind::Json, &config, strategy)?;
    payload::check("payload", payload, &config.limits)?;
    let options = TaskOptions::read(Options::new("option", options), desk.wall())?;
    let request_id = options.request_id.clone();
    let task = new_task(desk, call, strategy, Payload::Json(payload.to_owned()), &options, request_id);
    let stored = desk.store.enqueue(vec![task]);
    let call = call.clone();
    Ok(Outcome::later(async move {
        let stored = stored.await?;
        let id = stored.first().ok_or_else(|| Refusal::internal("the store gave no id"))?.id();
        call.reply(&id.to_string())
    }))
}

fn enqueue_batch(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (strategy, payloads, options): (&str, Vec<&str>, HashMap<&str, Variant<'_>>) =
        body.deserialize().map_err(Refusal::invalid)?;
    let config = desk.config();
    let strategy = strategy_of(Kind::Json, &config, strategy)?;
    payload::check_batch(&payloads, &config.limits)?;
    let options = TaskOptions::read(Options::new("option", options), desk.wall())?;
    let task = |(index, payload): (usize, &&str)| {
        let payload = Payload::Json((*payload).to_owned());
        new_task(desk, call, strategy, payload, &options, options.request_id_of(index))
    };
    let tasks: Vec<_> = payloads.iter().enumerate().map(task).collect();
    let stored = desk.store.enqueue(tasks);
    let call = call.clone();
    Ok(Outcome::later(async move {
        let ids: Vec<_> = stored.await?.iter().map(|stored| stored.id().to_string()).collect();
        call.reply(&ids)
    }))
}

/// The strategy of this name, if it carries what is handed over.
pub(super) fn strategy_of<'c>(kind: Kind, config: &'c Config, name: &str) -> Result<&'c Strategy, Refusal> {
    let Some(strategy) = config.strategy(name) else {
        return Err(Refusal::unknown_strategy(format!("no strategy is called {}", quoted(name))));
    };
    match (strategy.kind, kind) {
        (Kind::Json, Kind::Json) | (Kind::File, Kind::File) => Ok(strategy),
        (Kind::File, Kind::Json) => {
            Err(Refusal::invalid(format!("strategy {} carries files, not JSON", strategy.name)))
        }
        (Kind::Json, Kind::File) => {
            Err(Refusal::invalid(format!("strategy {} carries JSON, not files", strategy.name)))
        }
    }
}

/// A task of the caller.
pub(super) fn new_task(
    desk: &Desk,
    call: &Call,
    strategy: &Strategy,
    payload: Payload,
    options: &TaskOptions,
    request_id: Option<String>,
) -> NewTask {
    NewTask {
        id: TaskId::mint(),
        owner: call.caller.owner(),
        app: options.app.clone().unwrap_or_else(|| call.caller.app.clone()),
        strategy: strategy.name.clone(),
        overrides: options.overrides,
        payload,
        key: options.key.clone(),
        on_existing: options.on_existing,
        after: options.after.clone(),
        tags: options.tags.clone(),
        expires: options.expires,
        request_id,
        created: desk.wall(),
    }
}

/// A reply to come to something that is submitted.
type Coming = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Does something with what the caller named: at once with its own tasks, or with all if it is certain that it may manage
/// these; if there is no such task of its own, with all if it may. Whether a task of another is there is not told by whether
/// anybody is asked: an id that is nobody's is asked about too.
fn within_reach(desk: &Desk, call: &Call, act: impl Fn(&Desk, &Call, Scope) -> Coming + Send + 'static) -> Outcome {
    if call.manages_all {
        return Outcome::later(act(desk, call, Scope::All));
    }
    let own = act(desk, call, Scope::Owner(call.caller.owner()));
    let call = call.clone();
    Outcome::Later(Box::pin(async move {
        let not_found = match own.await {
            Err(refusal) if refusal.is_not_found() => refusal,
            reply => return Outcome::Now(reply),
        };
        let interaction = call.interaction();
        let then: Then = Box::new(move |desk, _, allowed| match allowed {
            Ok(()) => Outcome::later(act(desk, &call, Scope::All)),
            Err(_) => not_found.into(),
        });
        Outcome::Ask(Ask { action: Action::ManageAll, interaction, then })
    }))
}

fn get(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let id = task_id("id", body.deserialize().map_err(Refusal::invalid)?)?;
    Ok(within_reach(desk, call, move |desk, call, scope| {
        let found = desk.store.get(scope, id);
        let (desk, call) = (desk.clone(), call.clone());
        Box::pin(async move {
            let shown = show(&desk, vec![found.await?]).await?;
            match shown.into_iter().next() {
                Some(task) => call.reply(&task),
                None => Err(Refusal::internal("the task got lost")),
            }
        })
    }))
}

fn list(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (wanted, cursor, limit): (HashMap<&str, Variant<'_>>, &str, u32) =
        body.deserialize().map_err(Refusal::invalid)?;
    let filter = filter(Options::new("filter", wanted), &desk.config())?;
    let cursor = (!cursor.is_empty()).then(|| cursor.to_owned());
    let own = call.caller.owner();
    if call.manages_all || filter.owner == Some(own) {
        return Ok(page(desk, call, filter, cursor, limit));
    }
    if filter.owner.is_some() {
        return Ok(Outcome::if_allowed(Action::ManageAll, call, move |desk, _, call| {
            Ok(page(desk, call, filter, cursor, limit))
        }));
    }
    // No owner named: as much as the caller may see, and nobody is bothered for more.
    let call = call.clone();
    let then: Then = Box::new(move |desk, _, allowed| {
        let owner = if allowed.is_ok() { None } else { Some(own) };
        page(desk, &call, Filter { owner, ..filter }, cursor, limit)
    });
    Ok(Outcome::Ask(Ask { action: Action::ManageAll, interaction: Interaction::Forbidden, then }))
}

fn page(desk: &Desk, call: &Call, filter: Filter, cursor: Option<String>, limit: u32) -> Outcome {
    let page = desk.store.list(filter, cursor, limit);
    let (desk, call) = (desk.clone(), call.clone());
    Outcome::later(async move {
        let page = page.await?;
        let tasks = show(&desk, page.tasks).await?;
        call.reply(&(tasks, page.next.unwrap_or_default()))
    })
}

/// Tasks with why they wait. The scheduler is asked only about those whose own conditions differ from their strategy's.
async fn show(desk: &Desk, tasks: Vec<Task>) -> Result<Vec<wire::TaskDict>, Refusal> {
    let status = desk.status();
    let now = desk.wall();
    let mut shown = Vec::with_capacity(tasks.len());
    for task in tasks {
        let differs = task.standing.state() == State::Pending && task.overrides != Overrides::default();
        let reasons: Vec<Reason> = if differs {
            ask_why(desk, task.clone(), Assume::default()).await?.iter().map(|block| block.reason).collect()
        } else {
            wire::reasons(&task, &status, now)
        };
        shown.push(wire::task(task, &reasons, &status, now));
    }
    Ok(shown)
}

fn by_ids(desk: &Desk, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let ids: Vec<&str> = body.deserialize().map_err(Refusal::invalid)?;
    if ids.len() > IDS_MAX {
        return Err(Refusal::limit_exceeded(format!("ids: {} of them, at most {IDS_MAX} are taken", ids.len())));
    }
    let mut seen = BTreeSet::new();
    let mut unique = Vec::with_capacity(ids.len());
    for (index, text) in ids.into_iter().enumerate() {
        let id = task_id(&format!("ids[{index}]"), text)?;
        if seen.insert(id) {
            unique.push(id);
        }
    }
    let method = method.to_owned();
    Ok(within_reach(desk, call, move |desk, call, scope| {
        let (ids, now) = (unique.clone(), desk.wall());
        match method.as_str() {
            "Cancel" => counted(call, desk.store.cancel(scope, ids, now)),
            "Retry" => counted(call, desk.store.retry(scope, ids, now)),
            _ => counted(call, desk.store.discard(scope, ids, now)),
        }
    }))
}

fn counted(call: &Call, count: impl Future<Output = Result<u32, IdsError>> + Send + 'static) -> Coming {
    let call = call.clone();
    Box::pin(async move { call.reply(&count.await?) })
}

fn explain(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (id, options): (&str, HashMap<&str, Variant<'_>>) = body.deserialize().map_err(Refusal::invalid)?;
    let id = task_id("id", id)?;
    let mut options = Options::new("option", options);
    let with_history = options.flag("history")?.unwrap_or(false);
    let assume = options.dictionary("assume", "assumption", assume)?.unwrap_or_default();
    options.end()?;
    Ok(within_reach(desk, call, move |desk, call, scope| {
        let found = desk.store.get(scope, id);
        let (desk, call, assume) = (desk.clone(), call.clone(), assume.clone());
        Box::pin(async move {
            let task = found.await?;
            let blocks = ask_why(&desk, task, assume).await?;
            let history = if with_history { desk.store.history(id).await? } else { Vec::new() };
            reply_rows(&call, &blocks, &history)
        })
    }))
}

fn reply_rows(call: &Call, blocks: &[Block], history: &[crate::model::HistoryEntry]) -> Reply {
    let rows: Vec<_> = blocks.iter().map(wire::block).chain(history.iter().map(wire::history)).collect();
    call.reply(&rows)
}

async fn ask_why(desk: &Desk, task: Task, assume: Assume) -> Result<Vec<Block>, Refusal> {
    let (reply, answer) = oneshot::channel();
    desk.tell(Command::Explain { task: Box::new(task), assume: Box::new(assume), reply }).await?;
    answer.await.map_err(|_| stopping())
}

fn task_id(name: &str, text: &str) -> Result<TaskId, Refusal> {
    TaskId::parse(text).map_err(|_| Refusal::invalid(format!("{name}: {} is not a task id", quoted(text))))
}
