//! TOML files laid over each other: one tree of values, each with the file and line it came from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::Complaints;

/// Where a value stands: a file by its number, and a line from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
}

/// A value and its place: that of its key or, in an array, its own.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// Keys and values.
pub(super) type Table = BTreeMap<String, Node>;

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date,
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// What it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Date => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// The files as one tree; those that are no TOML are complained of and left out.
pub(super) fn read(sources: &[(PathBuf, String)], complaints: &Complaints) -> Table {
    let mut root = Table::new();
    for (file, (_, text)) in sources.iter().enumerate() {
        let lines = Lines { file, text };
        match DeTable::parse(text) {
            Ok(table) => merge(&mut root, lines.table(table.into_inner())),
            Err(error) => {
                let place = lines.place(&error.span().unwrap_or_default());
                complaints.add(place, String::new(), error.message().replace('\n', "; "));
            }
        }
    }
    root
}

/// Lays `upper` over `lower`: tables key by key, all else as a whole.
fn merge(lower: &mut Table, upper: Table) {
    for (key, node) in upper {
        match (lower.get_mut(&key).map(|below| &mut below.value), node.value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                lower.insert(key, Node { place: node.place, value });
            }
        }
    }
}

/// A file's text, to tell lines from offsets.
#[derive(Clone, Copy)]
struct Lines<'a> {
    file: usize,
    text: &'a str,
}

impl Lines<'_> {
    fn place(self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        Place { file: self.file, line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn table(self, table: DeTable<'_>) -> Table {
        let node = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let place = self.place(&key.span());
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), Node { place, value: self.value(value.into_inner()) })
        };
        table.into_iter().map(node).collect()
    }

    fn value(self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            // An integer beyond 64 bits is too large for every key.
            DeValue::Integer(digits) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix());
                Value::Integer(number.unwrap_or(i64::MAX))
            }
            DeValue::Float(digits) => Value::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| Node { place: self.place(&item.span()), value: self.value(item.into_inner()) })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}
