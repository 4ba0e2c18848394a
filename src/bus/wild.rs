//! Arguments of any shape against what reads them: from their bytes on the bus, and built as apps might build them.

use std::collections::HashMap;

use zbus::Variant;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{Endian, to_bytes};

use super::error::Refusal;
use super::options::{Options, TEXT_MAX};
use super::task_options::{FileOptions, TaskOptions, assume, filter};
use crate::config;
use crate::fuzz::{Choices, fuzz};
use crate::model::{Config, WallTime};

const NOW: WallTime = WallTime::from_micros(1_700_000_000_000_000);

/// What a refusal says at most, in bytes: it names a key, what was wanted and a piece of what came.
const WORDS: usize = 1024;

type Entries<'m> = HashMap<&'m str, Variant<'m>>;

/// Every option that any reader asks for.
const KEYS: &[&str] = &[
    "request_id",
    "key",
    "on_existing",
    "after",
    "tags",
    "app",
    "expires",
    "network",
    "charging",
    "min_battery",
    "name",
    "content_type",
    "metadata",
    "quality",
    "original",
    "max_edge",
    "record",
    "state",
    "strategy",
    "tag",
    "owner",
    "connected",
    "type",
    "metered",
    "roaming",
    "connectivity",
    "external_power",
    "battery_percent",
    "power_save",
    "time",
    "history",
    "assume",
    "all",
    "override",
    "until",
    "",
];

/// Texts that mean something to one of them, and some that should not.
const TEXTS: &[&str] = &[
    "append",
    "replace",
    "any",
    "wifi",
    "auto",
    "never",
    "pending",
    "metadata",
    "photo_upload",
    "full",
    "yes",
    "{}",
    "{\"a\":[1e999]}",
    "image/jpeg",
    "/",
    "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    "\u{7f}",
    "\u{1f}0",
    "船",
];

/// Any value, nested up to `depth`.
fn value(choices: &mut Choices<'_>, depth: u8) -> Variant<'static> {
    match choices.below(if depth == 0 { 12 } else { 17 }) {
        0 => Variant::Bool(choices.coin()),
        1 => Variant::U8(choices.byte()),
        2 => Variant::I16(choices.number() as i16),
        3 => Variant::U16(choices.number() as u16),
        4 => Variant::I32(choices.number() as i32),
        5 => Variant::U32(choices.number() as u32),
        6 => Variant::I64(choices.number() as i64),
        7 => Variant::U64(choices.number()),
        8 => Variant::F64(f64::from_bits(choices.number())),
        9 => Variant::F64(choices.number() as f64 - 1.0),
        10 => Variant::from((*choices.one(TEXTS)).to_owned()),
        11 => Variant::from(choices.text().replace('\0', "")),
        12 => Variant::Variant(Box::new(value(choices, depth - 1))),
        13 => Variant::from((0..choices.below(80)).map(|_| choices.one(TEXTS).to_string()).collect::<Vec<_>>()),
        14 => Variant::from((0..choices.below(4)).map(|_| value(choices, depth - 1)).collect::<Vec<_>>()),
        15 => {
            let mut text = || choices.one(TEXTS).to_string();
            Variant::from((text(), text(), text()))
        }
        _ => Variant::from(entries(choices, depth - 1)),
    }
}

fn entries(choices: &mut Choices<'_>, depth: u8) -> HashMap<String, Variant<'static>> {
    (0..choices.below(6)).map(|_| (choices.one(KEYS).to_string(), value(choices, depth))).collect()
}

fn configuration() -> Config {
    config::parse(&[], &config::Host::default()).expect("the defaults hold")
}

/// What one of the readers makes of an `a{sv}`.
fn read(reader: u8, entries: Entries<'_>, config: &Config) -> Result<(), Refusal> {
    match reader % 5 {
        0 => TaskOptions::read(Options::new("option", entries), NOW).map(|read| assert_within_bounds(&read)),
        1 => FileOptions::read(Options::new("option", entries), NOW, &config.limits).map(|read| {
            assert_within_bounds(&read.task);
            assert!(read.file.name.len() <= TEXT_MAX && read.file.content_type.is_ascii());
            assert!(read.file.metadata.is_empty() || read.file.metadata.trim_start().starts_with('{'));
        }),
        2 => filter(Options::new("filter", entries), config).map(|read| {
            assert!(read.keys.len() <= 64 && read.states.len() <= 64);
        }),
        3 => assume(Options::new("assumption", entries)).map(|read| {
            assert!(read.battery_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }),
        _ => {
            let mut options = Options::new("option", entries);
            options.flag("history")?;
            options.dictionary("assume", "assumption", assume)?;
            options.end()
        }
    }
}

fn assert_within_bounds(read: &TaskOptions) {
    let fits = |text: &String| (1..=TEXT_MAX).contains(&text.len()) && !text.contains(char::is_control);
    assert!([&read.request_id, &read.key, &read.app].into_iter().flatten().chain(&read.tags).all(fits));
    assert!(read.tags.len() <= 32 && read.after.len() <= 64);
    assert!(read.expires.is_none_or(|expires| expires > NOW && i64::try_from(expires.as_micros()).is_ok()));
}

/// A refusal is one of ours, and its words can be shown.
fn assert_fit(refusal: &Refusal) {
    assert!(refusal.name.starts_with("org.ferryd.Ferry1.Error."), "{refusal:?}");
    assert!(refusal.message.len() <= WORDS && !refusal.message.contains('\0'), "{} bytes", refusal.message.len());
    assert!(!refusal.message.contains(char::is_control), "{:?}", refusal.message);
}

#[test]
fn any_bytes_of_a_message_are_refused_or_read() {
    let config = configuration();
    fuzz!("wire", |input: &[u8]| {
        let Some((reader, bytes)) = input.split_first() else { return };
        let data = Data::new(bytes, Context::new(Endian::Little, 0));
        if let Ok((entries, _)) = data.deserialize::<Entries<'_>>()
            && let Err(refusal) = read(*reader, entries, &config)
        {
            assert_fit(&refusal);
        }
    });
}

#[test]
fn any_options_are_refused_with_a_reason_or_within_bounds_and_travel_unchanged() {
    let config = configuration();
    fuzz!("options", |input: &[u8]| {
        let mut choices = Choices::new(input);
        let reader = choices.byte();
        let built = entries(&mut choices, 3);
        let sent = to_bytes(Context::new(Endian::Little, 0), &built).expect("it can be sent");
        let (came, _) = sent.deserialize::<Entries<'_>>().expect("it can be read");
        let here: Entries<'_> =
            built.iter().map(|(key, value)| (key.as_str(), value.try_clone().expect("no descriptor"))).collect();
        let (from_afar, from_here) = (read(reader, came, &config), read(reader, here, &config));
        if let Err(refusal) = &from_here {
            assert_fit(refusal);
        }
        assert_eq!(from_afar, from_here);
    });
}
