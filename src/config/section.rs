//! Reads one table key by key, remembers which keys exist, and complains of all that cannot be.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::error::Complaint;
use super::tree::{Node, Place, Table, Value};
use super::units::{parse_duration, parse_rate, parse_size, show_duration, show_size};

/// All that is wrong, gathered while reading.
#[derive(Debug)]
pub(super) struct Complaints {
    files: Vec<PathBuf>,
    found: RefCell<Vec<(Place, Complaint)>>,
}

impl Complaints {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { files, found: RefCell::default() }
    }

    pub(super) fn add(&self, place: Place, key: String, words: String) {
        let file = self.files.get(place.file).cloned().unwrap_or_default();
        self.found.borrow_mut().push((place, Complaint { file, line: place.line, key, words }));
    }

    /// In the order of files and lines.
    pub(super) fn into_sorted(self) -> Vec<Complaint> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, complaint)| complaint).collect()
    }
}

/// A table being read. Each reader below takes a key's value: `None` if it is absent or was complained of.
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    table: Option<&'a Table>,
    known: RefCell<Vec<&'static str>>,
    complaints: &'a Complaints,
}

impl<'a> Section<'a> {
    /// The whole configuration.
    pub(super) fn root(table: &'a Table, complaints: &'a Complaints) -> Self {
        Self::of(String::new(), Place::default(), Some(table), complaints)
    }

    fn of(path: String, place: Place, table: Option<&'a Table>, complaints: &'a Complaints) -> Self {
        Self { path, place, table, known: RefCell::default(), complaints }
    }

    /// A section that stands at `node`.
    fn at(&self, path: String, node: &'a Node) -> Self {
        let Value::Table(table) = &node.value else {
            let words = format!("a section is expected, found {}", node.value.kind());
            self.complaints.add(node.place, path.clone(), words);
            return Self::of(path, node.place, None, self.complaints);
        };
        Self::of(path, node.place, Some(table), self.complaints)
    }

    /// The section of this name, empty if it is absent.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        match self.node(key) {
            Some(node) => self.at(self.path_of(key), node),
            None => Self::of(self.path_of(key), self.place, None, self.complaints),
        }
    }

    /// The sections `[THIS.NAME]` with their names.
    pub(super) fn subsections(&self) -> Vec<(&'a str, Section<'a>)> {
        let entries = self.table.into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), self.at(self.path_of(name), node))).collect()
    }

    /// A section within this one of which nothing is given.
    pub(super) fn absent(&self) -> Section<'a> {
        Self::of(self.path.clone(), self.place, None, self.complaints)
    }

    /// The sections `[[KEY]]`.
    pub(super) fn list(&self, key: &'static str) -> Vec<Section<'a>> {
        let items = self.array(key).into_iter().enumerate();
        items.map(|(index, node)| self.at(format!("{}[{index}]", self.path_of(key)), node)).collect()
    }

    /// The items of an array, each read by `read`; one that cannot be is complained of at its own line.
    pub(super) fn items<T>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let path = self.path_of(key);
        let item = |node: &Node| match text(node).and_then(&read) {
            Ok(value) => Some(value),
            Err(words) => {
                self.complaints.add(node.place, path.clone(), words);
                None
            }
        };
        self.array(key).into_iter().filter_map(item).collect()
    }

    /// Texts: an array of them, or a single one; an empty one is none.
    pub(super) fn texts<T>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        match self.table.and_then(|table| table.get(key)).map(|node| &node.value) {
            Some(Value::Text(text)) if text.is_empty() => self.text(key, |_| Ok(Vec::new())).unwrap_or_default(),
            Some(Value::Text(_)) => self.text(key, read).into_iter().collect(),
            _ => self.items(key, read),
        }
    }

    fn array(&self, key: &'static str) -> Vec<&'a Node> {
        let Some(node) = self.node(key) else { return Vec::new() };
        if let Value::Array(items) = &node.value {
            return items.iter().collect();
        }
        self.refuse(key, expected("an array", node));
        Vec::new()
    }

    /// Text that `read` takes.
    pub(super) fn text<T>(&self, key: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.take(key, |node| text(node).and_then(read))
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, all: &[(&str, T)]) -> Option<T> {
        self.text(key, |text| {
            let found = all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            let words = all.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| format!("{text:?} is none of {words}"))
        })
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.take(key, |node| {
            let Value::Boolean(value) = node.value else { return Err(expected("true or false", node)) };
            Ok(value)
        })
    }

    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(key, |node| {
            let Value::Integer(value) = node.value else { return Err(expected("an integer", node)) };
            let outside = || format!("{value} is not from {} to {}", range.start(), range.end());
            u64::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(outside)
        })
    }

    /// One of some small numbers.
    pub(super) fn one_of(&self, key: &'static str, all: &[u8]) -> Option<u8> {
        self.take(key, |node| {
            let Value::Integer(value) = node.value else { return Err(expected("an integer", node)) };
            let numbers = || all.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            let found = all.iter().copied().find(|number| i64::from(*number) == value);
            found.ok_or_else(|| format!("{value} is none of {}", numbers()))
        })
    }

    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        self.take(key, |node| {
            let value = match node.value {
                Value::Integer(value) => value as f64,
                Value::Float(value) => value,
                Value::Text(_) | Value::Boolean(_) | Value::Date | Value::Array(_) | Value::Table(_) => {
                    return Err(expected("a number", node));
                }
            };
            let outside = || format!("{value} is not from {} to {}", range.start(), range.end());
            Some(value).filter(|value| range.contains(value)).ok_or_else(outside)
        })
    }

    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.text(key, |text| within(text, &range))
    }

    /// A duration, or one of the word `never` (`Some(None)`).
    pub(super) fn duration_or_never(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        self.text(key, |text| match text {
            "never" => Ok(None),
            _ => within(text, &range).map(Some).map_err(|words| format!("{words}, or \"never\"")),
        })
    }

    /// Bytes: an integer, or text with a unit.
    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(key, |node| size(node, &range))
    }

    /// A size, or the word for any (`Some(None)`).
    pub(super) fn size_or(&self, key: &'static str, word: &str, range: RangeInclusive<u64>) -> Option<Option<u64>> {
        self.take(key, |node| match text(node) {
            Ok(text) if text == word => Ok(None),
            Ok(_) | Err(_) => size(node, &range).map(Some).map_err(|words| format!("{words}, or {word:?}")),
        })
    }

    /// Bytes a second, or the word for any number of them (`Some(None)`).
    pub(super) fn rate_or(&self, key: &'static str, word: &str, range: RangeInclusive<u64>) -> Option<Option<u64>> {
        let (low, high) = (show_size(*range.start()), show_size(*range.end()));
        let outside = |text: &str| format!("{text:?} is not from {low}/s to {high}/s");
        let within = |text: &str| match parse_rate(text)? {
            rate if range.contains(&rate) => Ok(Some(rate)),
            _ => Err(outside(text)),
        };
        self.text(key, |text| match text {
            _ if text == word => Ok(None),
            _ => within(text).map_err(|words| format!("{words}, or {word:?}")),
        })
    }

    /// Whether the key is given.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Complains of a key's value, or of the section if the key is absent.
    pub(super) fn refuse(&self, key: &str, words: String) {
        let place = self.table.and_then(|table| table.get(key)).map_or(self.place, |node| node.place);
        self.complaints.add(place, self.path_of(key), words);
    }

    /// Complains of the section itself.
    pub(super) fn refuse_all(&self, words: String) {
        self.complaints.add(self.place, self.path.clone(), words);
    }

    /// Complains of every key that no reader asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for key in self.table.into_iter().flat_map(Table::keys) {
            if !known.contains(&key.as_str()) {
                self.refuse(key, format!("unknown key; known are {}", known.join(", ")));
            }
        }
    }

    fn take<T>(&self, key: &'static str, read: impl FnOnce(&Node) -> Result<T, String>) -> Option<T> {
        match read(self.node(key)?) {
            Ok(value) => Some(value),
            Err(words) => {
                self.refuse(key, words);
                None
            }
        }
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(key);
        self.table?.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn expected(what: &str, node: &Node) -> String {
    format!("{what} is expected, found {}", node.value.kind())
}

fn text(node: &Node) -> Result<&str, String> {
    let Value::Text(text) = &node.value else { return Err(expected("text", node)) };
    Ok(text)
}

fn size(node: &Node, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = match &node.value {
        Value::Integer(value) => u64::try_from(*value).map_err(|_| format!("{value} is below 0"))?,
        Value::Text(text) => parse_size(text)?,
        Value::Float(_) | Value::Boolean(_) | Value::Date | Value::Array(_) | Value::Table(_) => {
            return Err(expected("a size", node));
        }
    };
    let (low, high) = (show_size(*range.start()), show_size(*range.end()));
    let outside = || format!("{} is not from {low} to {high}", show_size(bytes));
    Some(bytes).filter(|bytes| range.contains(bytes)).ok_or_else(outside)
}

fn within(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
    Some(duration).filter(|value| range.contains(value)).ok_or_else(|| format!("{text:?} is not from {low} to {high}"))
}
