//! The dictionaries of `Tasks`: options of an Enqueue, filters of a List, assumptions of an Explain.

use super::error::{Refusal, quoted};
use super::options::Options;
use super::payload;
use crate::model::{
    Assume, BatteryFloor, Config, Connectivity, FileInfo, Filter, Limits, LinkType, Metered, NetworkNeed, OnExisting,
    Original, Overrides, Owner, Quality, RecordField, State, StrategyName, TaskId, WallTime,
};

/// The most tags of a task.
const TAGS_MAX: usize = 32;
/// The most tasks that one may come after.
const AFTER_MAX: usize = 64;
/// The most alternatives of one key of a filter.
const CHOICES_MAX: usize = 64;

/// What an Enqueue or EnqueueBatch asks for beside payload and strategy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TaskOptions {
    pub(super) request_id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) on_existing: OnExisting,
    pub(super) after: Vec<TaskId>,
    pub(super) tags: Vec<String>,
    pub(super) app: Option<String>,
    pub(super) expires: Option<WallTime>,
    pub(super) overrides: Overrides,
}

impl TaskOptions {
    /// Reads and checks them all.
    pub(super) fn read(mut options: Options<'_>, now: WallTime) -> Result<Self, Refusal> {
        let read = Self {
            request_id: options.text("request_id")?,
            key: options.text("key")?,
            on_existing: options
                .word("on_existing", &["append", "keep", "replace"], OnExisting::parse)?
                .unwrap_or(OnExisting::Append),
            after: after(&mut options)?,
            tags: options.texts("tags", TAGS_MAX)?,
            app: options.text("app")?,
            expires: expires(&mut options, now)?,
            overrides: overrides(&mut options)?,
        };
        options.end()?;
        Ok(read)
    }

    /// The `request_id` of one item of a batch: the batch's and the item's index, so that the batch repeated finds each
    /// of its tasks again. The separator is a character that no caller's `request_id` may hold.
    pub(super) fn request_id_of(&self, index: usize) -> Option<String> {
        self.request_id.as_ref().map(|id| format!("{id}\u{1f}{index}"))
    }
}

/// What an EnqueueFile asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileOptions {
    pub(super) task: TaskOptions,
    /// With neither size nor hash, which its copy will have.
    pub(super) file: FileInfo,
}

impl FileOptions {
    /// Reads and checks them all.
    pub(super) fn read(mut options: Options<'_>, now: WallTime, limits: &Limits) -> Result<Self, Refusal> {
        let qualities = words(Quality::ALL, |word| word.as_str());
        let originals = words(Original::ALL, |word| word.as_str());
        let max_edge = options.number("max_edge", u32::MAX.into())?.and_then(|edge| u32::try_from(edge).ok());
        let record = options.triple("record")?;
        let unsaid = FileInfo::new(0, [0; 32]);
        let file = FileInfo {
            name: options.text("name")?.unwrap_or_default(),
            content_type: content_type(&mut options)?,
            metadata: metadata(&mut options, limits)?,
            quality: options.word("quality", &qualities, Quality::parse)?.unwrap_or(unsaid.quality),
            original: options.word("original", &originals, Original::parse)?.unwrap_or(unsaid.original),
            max_edge: max_edge.filter(|edge| *edge > 0),
            record: record.map(|[collection, id, field]| RecordField { collection, id, field }),
            ..unsaid
        };
        Ok(Self { task: TaskOptions::read(options, now)?, file })
    }
}

/// A media type goes into a header as it is, so it has at least its form (RFC 9110, 8.3.1).
fn content_type(options: &mut Options<'_>) -> Result<String, Refusal> {
    let Some(text) = options.text("content_type")? else { return Ok(String::new()) };
    let halves = text.split_once('/').filter(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if halves.is_none() || !text.is_ascii() {
        return Err(options.refuse("content_type", format!("{} is no media type, as image/jpeg is", quoted(&text))));
    }
    Ok(text)
}

fn metadata(options: &mut Options<'_>, limits: &Limits) -> Result<String, Refusal> {
    let Some(text) = options.unchecked_text("metadata")? else { return Ok(String::new()) };
    payload::check("option metadata", &text, limits)?;
    if !text.trim_start().starts_with('{') {
        return Err(options.refuse("metadata", "not a JSON object"));
    }
    Ok(text)
}

fn after(options: &mut Options<'_>) -> Result<Vec<TaskId>, Refusal> {
    let texts = options.texts("after", AFTER_MAX)?;
    let id = |text: &String| TaskId::parse(text).map_err(|_| not_an_id(options, text));
    texts.iter().map(id).collect()
}

fn not_an_id(options: &Options<'_>, text: &str) -> Refusal {
    options.refuse("after", format!("{} is not a task id", quoted(text)))
}

fn expires(options: &mut Options<'_>, now: WallTime) -> Result<Option<WallTime>, Refusal> {
    let Some(micros) = options.number("expires", u64::MAX)?.filter(|micros| *micros > 0) else { return Ok(None) };
    let expires = WallTime::from_micros(micros);
    if expires <= now {
        return Err(options.refuse("expires", format!("{micros} lies in the past (it is {} now)", now.as_micros())));
    }
    // SQLite's integers are signed; this is the year 294247.
    if i64::try_from(micros).is_err() {
        return Err(options.refuse("expires", format!("{micros} is out of range (microseconds since the epoch)")));
    }
    Ok(Some(expires))
}

fn overrides(options: &mut Options<'_>) -> Result<Overrides, Refusal> {
    let network = options.word("network", &["any", "unmetered", "wifi"], NetworkNeed::parse)?;
    let charging = options.flag("charging")?;
    let percent = options.number("min_battery", 100)?;
    let floor = |percent: u64| {
        u8::try_from(percent).ok().and_then(BatteryFloor::new).ok_or_else(|| {
            let floors: Vec<_> = BatteryFloor::ALL.iter().map(u8::to_string).collect();
            options.refuse("min_battery", format!("{percent} is not one of {}", floors.join(", ")))
        })
    };
    Ok(Overrides { network, charging, min_battery: percent.map(floor).transpose()?, ..Overrides::default() })
}

/// Reads a List's filter. Whose tasks the caller may see is not decided here.
pub(super) fn filter(mut options: Options<'_>, config: &Config) -> Result<Filter, Refusal> {
    let states = options.text_or_texts("state", CHOICES_MAX)?;
    let states = states.iter().map(|word| {
        State::parse(word).ok_or_else(|| {
            let known = words(State::ALL, |state| state.as_str()).join(", ");
            options.refuse("state", format!("{} is not one of {known}", quoted(word)))
        })
    });
    let states = states.collect::<Result<_, _>>()?;
    let strategies = options.text_or_texts("strategy", CHOICES_MAX)?;
    // One that the configuration no longer has may still have tasks.
    let strategies = strategies.iter().map(|name| match config.strategy(name) {
        Some(strategy) => Ok(strategy.name.clone()),
        None => StrategyName::new(name)
            .map_err(|_| Refusal::unknown_strategy(format!("no strategy is called {}", quoted(name)))),
    });
    let strategies = strategies.collect::<Result<_, _>>()?;
    let filter = Filter {
        owner: options.number("owner", u32::MAX.into())?.and_then(|uid| u32::try_from(uid).ok()).map(Owner),
        states,
        strategies,
        keys: options.text_or_texts("key", CHOICES_MAX)?,
        tags: options.text_or_texts("tag", CHOICES_MAX)?,
        apps: options.text_or_texts("app", CHOICES_MAX)?,
    };
    options.end()?;
    Ok(filter)
}

/// Reads the `assume` of an Explain.
pub(super) fn assume(mut options: Options<'_>) -> Result<Assume, Refusal> {
    let assume = Assume {
        connected: options.flag("connected")?,
        link: options.word("type", &words(LinkType::ALL, |word| word.as_str()), LinkType::parse)?,
        metered: options.word("metered", &words(Metered::ALL, |word| word.as_str()), Metered::parse)?,
        roaming: options.flag("roaming")?,
        connectivity: options.word(
            "connectivity",
            &words(Connectivity::ALL, |word| word.as_str()),
            Connectivity::parse,
        )?,
        external_power: options.flag("external_power")?,
        battery_percent: options.real("battery_percent", 100.0)?,
        power_save: options.flag("power_save")?,
        time: options.number("time", u64::MAX)?.map(WallTime::from_micros),
    };
    options.end()?;
    Ok(assume)
}

fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(word).collect()
}
