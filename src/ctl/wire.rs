//! D-Bus values as JSON values, which the views read: any integer type is a number, whoever sent it.

use serde_json::{Map, Number, Value};
use zbus::{Message, Structure, Variant};

use super::exit::{Exit, Failure};

/// The arguments of a message.
pub(crate) fn arguments(message: &Message) -> Result<Vec<Value>, Failure> {
    let body = message.body();
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let structure: Structure<'_> = body.deserialize().map_err(unreadable)?;
    Ok(structure.fields().iter().map(json).collect())
}

/// An answer is not what the contract says.
pub(crate) fn unreadable(error: zbus::Error) -> Failure {
    Failure::said(Exit::Failed, format!("ferryd's answer cannot be read: {error}"))
}

fn json(variant: &Variant<'_>) -> Value {
    match variant {
        Variant::U8(value) => (*value).into(),
        Variant::Bool(value) => (*value).into(),
        Variant::I16(value) => (*value).into(),
        Variant::U16(value) => (*value).into(),
        Variant::I32(value) => (*value).into(),
        Variant::U32(value) => (*value).into(),
        Variant::I64(value) => (*value).into(),
        Variant::U64(value) => (*value).into(),
        Variant::F64(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Variant::Str(text) => text.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => json(inner),
        Variant::Array(array) => array.inner().iter().map(json).collect(),
        Variant::Dict(dict) => Value::Object(dict.iter().map(|(key, value)| (key_of(key), json(value))).collect()),
        Variant::Structure(structure) => structure.fields().iter().map(json).collect(),
        Variant::Fd(_) => Value::Null,
    }
}

fn key_of(key: &Variant<'_>) -> String {
    let key = json(key);
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

/// A dictionary, read leniently: what is absent or of another type is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionary(Map<String, Value>);

impl Dictionary {
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::Object(map) => Self(map),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Self::default(),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Text, `None` if it is empty.
    pub(crate) fn some_text(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A time or another number of which 0 means that there is none.
    pub(crate) fn some_number(&self, key: &str) -> Option<u64> {
        Some(self.number(key)).filter(|number| *number > 0)
    }

    pub(crate) fn real(&self, key: &str) -> f64 {
        self.0.get(key).and_then(Value::as_f64).unwrap_or_default()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.0.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub(crate) fn array(&self, key: &str) -> Vec<Value> {
        self.0.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    pub(crate) fn dictionary(&self, key: &str) -> Self {
        Self::of(self.0.get(key).cloned().unwrap_or_default())
    }

    pub(crate) fn into_inner(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_message_of_every_type_becomes_json() {
        let inner = BTreeMap::from([("status", Variant::from(200u16)), ("sent", Variant::from(7i64))]);
        let task = BTreeMap::from([
            ("id", Variant::from("a")),
            ("owner", Variant::from(1000u32)),
            ("done", Variant::from(5u64)),
            ("ratio", Variant::from(0.5)),
            ("paused", Variant::from(true)),
            ("tags", Variant::from(vec!["x", "y"])),
            ("result", Variant::from(inner)),
        ]);
        let message = Message::method_call("/", "M").build(&(vec![task], "cursor", 3u8)).unwrap();
        let expected = serde_json::json!([
            [{"id": "a", "owner": 1000, "done": 5, "ratio": 0.5, "paused": true, "tags": ["x", "y"],
              "result": {"status": 200, "sent": 7}}],
            "cursor",
            3
        ]);
        assert_eq!(Value::Array(arguments(&message).unwrap()), expected);
    }

    #[test]
    fn one_argument_and_none_are_read_too() {
        let one = Message::method_call("/", "M").build(&"text").unwrap();
        assert_eq!(arguments(&one).unwrap(), [Value::from("text")]);
        let none = Message::method_call("/", "M").build(&()).unwrap();
        assert_eq!(arguments(&none).unwrap(), Vec::<Value>::new());
    }
}
