//! `a{sv}` arguments, read key by key: any integer type is taken for a number that fits, a wrong type, an unknown key
//! or a value out of range is an error that names the key, what was wanted and what came.

use std::collections::{BTreeMap, HashMap};

use zbus::Variant;

use super::error::{Refusal, quoted};

/// The largest text of an option, in bytes.
pub(super) const TEXT_MAX: usize = 255;

/// The keys that are left to read, and those that were asked for.
pub(super) struct Options<'m> {
    /// What an entry is called in messages: `option`, `filter`.
    noun: &'static str,
    left: BTreeMap<&'m str, Variant<'m>>,
    asked: Vec<&'static str>,
}

impl<'m> Options<'m> {
    /// All of an `a{sv}`.
    pub(super) fn new(noun: &'static str, entries: HashMap<&'m str, Variant<'m>>) -> Self {
        Self { noun, left: entries.into_iter().collect(), asked: Vec::with_capacity(16) }
    }

    /// Refuses what nobody asked for. To be called last.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let known = if self.asked.is_empty() { "none".into() } else { self.asked.join(", ") };
        Err(Refusal::invalid(format!("unknown {} {}; known: {known}", self.noun, quoted(unknown))))
    }

    /// A text of 1 to 255 bytes without control characters.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, Refusal> {
        self.read(key, "a string", |value| Ok(string(value)))?
            .map(|text| check_text(text).map_err(|problem| self.refuse(key, problem)))
            .transpose()
    }

    /// A text of any length and of any characters, for the caller to check.
    pub(super) fn unchecked_text(&mut self, key: &'static str) -> Result<Option<String>, Refusal> {
        self.read(key, "a string", |value| Ok(string(value)))
    }

    /// Three texts, each as [`text`](Self::text) takes them.
    pub(super) fn triple(&mut self, key: &'static str) -> Result<Option<[String; 3]>, Refusal> {
        let three = |value: &Variant<'_>| {
            let Variant::Structure(fields) = value else { return None };
            let texts: Option<Vec<_>> = fields.fields().iter().map(|field| string(peeled(field))).collect();
            <[String; 3]>::try_from(texts?).ok()
        };
        let Some(texts) = self.read(key, "three strings (sss)", |value| Ok(three(value)))? else { return Ok(None) };
        let [first, second, third] = texts.map(|text| check_text(text).map_err(|problem| self.refuse(key, problem)));
        Ok(Some([first?, second?, third?]))
    }

    /// A list of at most `most` texts.
    pub(super) fn texts(&mut self, key: &'static str, most: usize) -> Result<Vec<String>, Refusal> {
        let texts = self.read(key, "a list of strings", |value| Ok(strings(value)))?;
        self.check_texts(key, texts.unwrap_or_default(), most)
    }

    /// One text, or a list of at most `most`.
    pub(super) fn text_or_texts(&mut self, key: &'static str, most: usize) -> Result<Vec<String>, Refusal> {
        let either = |value: &Variant<'_>| string(value).map(|text| vec![text]).or_else(|| strings(value));
        let texts = self.read(key, "a string or a list of strings", |value| Ok(either(value)))?;
        self.check_texts(key, texts.unwrap_or_default(), most)
    }

    /// A boolean.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Refusal> {
        self.read(key, "a boolean", |value| if let Variant::Bool(flag) = value { Ok(Some(*flag)) } else { Ok(None) })
    }

    /// A whole number from 0 to `most`, of any integer type.
    pub(super) fn number(&mut self, key: &'static str, most: u64) -> Result<Option<u64>, Refusal> {
        self.read(key, "a whole number", |value| {
            let Some(number) = integer(value) else { return Ok(None) };
            match u64::try_from(number) {
                Ok(number) if number <= most => Ok(Some(number)),
                _ => Err(format!("{number} is out of range (0 to {most})")),
            }
        })
    }

    /// A number from 0 to `most`, whole or not.
    pub(super) fn real(&mut self, key: &'static str, most: f64) -> Result<Option<f64>, Refusal> {
        self.read(key, "a number", |value| {
            #[expect(clippy::cast_precision_loss, reason = "only small numbers are in range")]
            let whole = integer(value).map(|number| number as f64);
            let real = if let Variant::F64(number) = value { Some(*number) } else { None };
            let Some(number) = real.or(whole) else { return Ok(None) };
            if (0.0..=most).contains(&number) {
                Ok(Some(number))
            } else {
                Err(format!("{number} is out of range (0 to {most})"))
            }
        })
    }

    /// One of a set of words.
    pub(super) fn word<T>(
        &mut self,
        key: &'static str,
        words: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        self.read(key, "a string", |value| {
            let Some(word) = string(value) else { return Ok(None) };
            match parse(&word) {
                Some(meaning) => Ok(Some(meaning)),
                None => Err(format!("{} is not one of {}", quoted(&word), words.join(", "))),
            }
        })
    }

    /// An `a{sv}` within, read by `parse`.
    pub(super) fn dictionary<T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        parse: impl FnOnce(Options<'_>) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let wanted = || Refusal::invalid(self.wanted(key, "a dictionary (a{sv})", &value));
        let Variant::Dict(dict) = peeled(&value) else { return Err(wanted()) };
        let mut left = BTreeMap::new();
        for (name, value) in dict.iter() {
            let (Variant::Str(name), Ok(value)) = (name, value.try_clone()) else { return Err(wanted()) };
            left.insert(name.as_str(), value);
        }
        parse(Options { noun, left, asked: Vec::new() }).map(Some)
    }

    /// The refusal of a value that was read but does not do.
    pub(super) fn refuse(&self, key: &str, problem: impl std::fmt::Display) -> Refusal {
        Refusal::invalid(format!("{} {key}: {problem}", self.noun))
    }

    fn take(&mut self, key: &'static str) -> Option<Variant<'m>> {
        self.asked.push(key);
        self.left.remove(key)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&Variant<'_>) -> Result<Option<T>, String>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match parse(peeled(&value)) {
            Ok(Some(meaning)) => Ok(Some(meaning)),
            Ok(None) => Err(Refusal::invalid(self.wanted(key, wanted, &value))),
            Err(problem) => Err(self.refuse(key, problem)),
        }
    }

    fn wanted(&self, key: &str, wanted: &str, value: &Variant<'_>) -> String {
        format!("{} {key}: {wanted} is wanted, not {}", self.noun, type_name(peeled(value)))
    }

    fn check_texts(&self, key: &str, texts: Vec<String>, most: usize) -> Result<Vec<String>, Refusal> {
        if texts.len() > most {
            return Err(self.refuse(key, format!("{} entries, at most {most} are taken", texts.len())));
        }
        texts.into_iter().map(|text| check_text(text).map_err(|problem| self.refuse(key, problem))).collect()
    }
}

/// Variants within variants (as some languages' bindings send them) count as what they hold.
fn peeled<'v, 'm>(mut value: &'v Variant<'m>) -> &'v Variant<'m> {
    while let Variant::Variant(inner) = value {
        value = inner;
    }
    value
}

fn integer(value: &Variant<'_>) -> Option<i128> {
    match value {
        Variant::U8(number) => Some((*number).into()),
        Variant::I16(number) => Some((*number).into()),
        Variant::U16(number) => Some((*number).into()),
        Variant::I32(number) => Some((*number).into()),
        Variant::U32(number) => Some((*number).into()),
        Variant::I64(number) => Some((*number).into()),
        Variant::U64(number) => Some((*number).into()),
        Variant::Bool(_)
        | Variant::F64(_)
        | Variant::Str(_)
        | Variant::Signature(_)
        | Variant::ObjectPath(_)
        | Variant::Variant(_)
        | Variant::Array(_)
        | Variant::Dict(_)
        | Variant::Structure(_)
        | Variant::Fd(_) => None,
    }
}

fn string(value: &Variant<'_>) -> Option<String> {
    if let Variant::Str(text) = value { Some(text.as_str().to_owned()) } else { None }
}

/// The texts of an `as` or of an `av` of strings; `None` for another value.
fn strings(value: &Variant<'_>) -> Option<Vec<String>> {
    let Variant::Array(array) = value else { return None };
    array.inner().iter().map(|element| string(peeled(element))).collect()
}

/// The text, if it is one of 1 to 255 bytes without control characters.
pub(super) fn check_text(text: String) -> Result<String, String> {
    if text.is_empty() {
        Err("an empty string is not taken".into())
    } else if text.len() > TEXT_MAX {
        Err(format!("{} bytes, at most {TEXT_MAX} are taken", text.len()))
    } else if text.chars().any(char::is_control) {
        Err(format!("{} has control characters", quoted(&text)))
    } else {
        Ok(text)
    }
}

fn type_name(value: &Variant<'_>) -> String {
    let name = match value {
        Variant::U8(_)
        | Variant::I16(_)
        | Variant::U16(_)
        | Variant::I32(_)
        | Variant::U32(_)
        | Variant::I64(_)
        | Variant::U64(_) => "a whole number",
        Variant::Bool(_) => "a boolean",
        Variant::F64(_) => "a floating-point number",
        Variant::Str(_) => "a string",
        Variant::Signature(_) => "a signature",
        Variant::ObjectPath(_) => "an object path",
        Variant::Variant(_) => "a variant",
        Variant::Array(_) => "a list",
        Variant::Dict(_) => "a dictionary",
        Variant::Structure(_) => "a structure",
        Variant::Fd(_) => "a file descriptor",
    };
    format!("{name} ({})", value.value_signature())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<const N: usize>(entries: [(&'static str, Variant<'static>); N]) -> Options<'static> {
        Options::new("option", entries.into_iter().collect())
    }

    fn problem<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        let refusal = result.expect_err("must be refused");
        assert_eq!(refusal.name, "org.ferryd.Ferry1.Error.InvalidArgument");
        refusal.message
    }

    #[test]
    fn any_integer_type_is_taken_for_a_number_that_fits() {
        let values = [
            Variant::U8(30),
            Variant::I16(30),
            Variant::U16(30),
            Variant::I32(30),
            Variant::U32(30),
            Variant::I64(30),
            Variant::U64(30),
            Variant::Variant(Box::new(Variant::U8(30))),
        ];
        for value in values {
            assert_eq!(options([("n", value)]).number("n", 30), Ok(Some(30)));
        }
        assert_eq!(options([]).number("n", 30), Ok(None));
    }

    #[test]
    fn a_number_out_of_range_names_the_range() {
        assert_eq!(problem(options([("n", Variant::I32(-1))]).number("n", 9)), "option n: -1 is out of range (0 to 9)");
        assert_eq!(
            problem(options([("n", Variant::U64(u64::MAX))]).number("n", 9)),
            "option n: 18446744073709551615 is out of range (0 to 9)"
        );
        assert_eq!(
            problem(options([("n", Variant::F64(f64::NAN))]).real("n", 100.0)),
            "option n: NaN is out of range (0 to 100)"
        );
    }

    #[test]
    fn a_wrong_type_names_what_was_wanted_and_what_came() {
        assert_eq!(
            problem(options([("n", Variant::from("7"))]).number("n", 9)),
            "option n: a whole number is wanted, not a string (s)"
        );
        assert_eq!(
            problem(options([("k", Variant::U32(7))]).text("k")),
            "option k: a string is wanted, not a whole number (u)"
        );
        assert_eq!(
            problem(options([("t", Variant::from(vec![1u32]))]).texts("t", 9)),
            "option t: a list of strings is wanted, not a list (au)"
        );
        assert_eq!(
            problem(options([("b", Variant::F64(1.0))]).flag("b")),
            "option b: a boolean is wanted, not a floating-point number (d)"
        );
        let parse = |_: Options<'_>| Ok(());
        assert_eq!(
            problem(options([("d", Variant::Bool(true))]).dictionary("d", "assumption", parse)),
            "option d: a dictionary (a{sv}) is wanted, not a boolean (b)"
        );
    }

    #[test]
    fn an_unknown_key_is_named_beside_those_that_are_known() {
        let mut unknown = options([("colour", Variant::Bool(true))]);
        assert_eq!(unknown.text("key"), Ok(None));
        assert_eq!(problem(unknown.end()), "unknown option \"colour\"; known: key");
        assert_eq!(options([]).end(), Ok(()));
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        let text = |text: String| options([("k", Variant::from(text))]).text("k");
        assert_eq!(text("a".repeat(255)), Ok(Some("a".repeat(255))));
        assert_eq!(problem(text("a".repeat(256))), "option k: 256 bytes, at most 255 are taken");
        assert_eq!(problem(text(String::new())), "option k: an empty string is not taken");
        assert_eq!(problem(text("a\nb".into())), "option k: \"a\\nb\" has control characters");
        let many = options([("t", Variant::from(vec!["a", "b"]))]).texts("t", 1);
        assert_eq!(problem(many), "option t: 2 entries, at most 1 are taken");
    }

    #[test]
    fn a_list_may_be_one_text_or_a_list_of_variants() {
        let variants = Variant::from(vec![Variant::from("a"), Variant::from("b")]);
        assert_eq!(options([("t", variants)]).text_or_texts("t", 9), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(options([("t", Variant::from("a"))]).text_or_texts("t", 9), Ok(vec!["a".into()]));
        assert_eq!(options([("t", Variant::from(Vec::<String>::new()))]).texts("t", 9), Ok(vec![]));
    }
}
