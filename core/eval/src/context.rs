//! What a host hands in: attributes asked for by interned key, sticky assignments, forced variations
//! (`docs/contract/context.md`).

/// The longest string an attribute may hold; a longer one is unusable.
pub const MAX_STRING_BYTES: usize = 65_536;
/// The longest list an attribute may hold; a longer one is unusable.
pub const MAX_LIST_ELEMENTS: usize = 1_000;

/// An attribute a snapshot asks for: its place in [`Snapshot::attributes`](crate::Snapshot::attributes), and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeKey<'a> {
    /// The place in the snapshot's list of attributes: for hosts that put their values into slots beforehand.
    pub index: usize,
    /// The name: for hosts that look it up.
    pub name: &'a str,
}

/// An attribute's value. There is no coercion: the text `"5"` is no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No such attribute, or null.
    Missing,
    /// Text. Longer than [`MAX_STRING_BYTES`] it counts as unusable: a host need not check.
    Str(&'a str),
    /// A number. NaN and the infinities count as unusable: a host need not check.
    Num(f64),
    /// A boolean.
    Bool(bool),
    /// A list; its elements are asked for one by one with [`Attributes::element`].
    List(ListHandle),
    /// There, but nothing an operator can use: an object, a list of lists, malformed text, …
    Unusable,
}

/// Names a list inside the context that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListHandle {
    /// Whatever the context needs to find the list again.
    pub token: u64,
    /// The number of elements. Above [`MAX_LIST_ELEMENTS`] the list counts as unusable.
    pub len: usize,
}

/// A variation the host has stored for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sticky<'a> {
    /// The experiment's phase it was given in.
    pub phase: u32,
    /// The unit id, as text.
    pub unit: &'a str,
    /// The variation's key.
    pub variation: &'a str,
}

/// A variation that a verified override token forces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced<'a> {
    /// The flag's key as a caller would ask for it, also with an obfuscated manifest.
    pub flag: &'a str,
    /// The variation's key.
    pub variation: &'a str,
}

/// A context, as the evaluator sees it: it asks for what a rule names, and copies nothing.
///
/// The answers must not change while one decision is being made; nothing else is required, and no answer can make the
/// evaluator fail.
pub trait Attributes {
    /// The value of an attribute.
    fn get(&self, key: AttributeKey<'_>) -> Value<'_>;

    /// An element of a list that [`Attributes::get`] returned. Asked with `index < list.len` only.
    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        let _ = (list, index);
        Value::Unusable
    }

    /// The sticky assignment stored for an experiment, if there is one.
    #[inline]
    fn sticky(&self, experiment: &str) -> Option<Sticky<'_>> {
        let _ = experiment;
        None
    }

    /// The forced variations, numbered from 0; `None` behind the last. At most one for a flag, else the first counts.
    #[inline]
    fn forced(&self, index: usize) -> Option<Forced<'_>> {
        let _ = index;
        None
    }
}

impl<A: Attributes + ?Sized> Attributes for &A {
    #[inline]
    fn get(&self, key: AttributeKey<'_>) -> Value<'_> {
        (**self).get(key)
    }
    #[inline]
    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        (**self).element(list, index)
    }
    #[inline]
    fn sticky(&self, experiment: &str) -> Option<Sticky<'_>> {
        (**self).sticky(experiment)
    }
    #[inline]
    fn forced(&self, index: usize) -> Option<Forced<'_>> {
        (**self).forced(index)
    }
}

/// An attribute's value, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    /// Text.
    Str(String),
    /// A number.
    Num(f64),
    /// A boolean.
    Bool(bool),
    /// A list. Elements that are lists or unusable make the whole list unusable.
    List(Vec<OwnedValue>),
    /// There, but nothing an operator can use.
    Unusable,
}

impl OwnedValue {
    #[inline]
    fn view(&self, token: u64) -> Value<'_> {
        match self {
            Self::Str(text) => Value::Str(text),
            Self::Num(number) => Value::Num(*number),
            Self::Bool(bool) => Value::Bool(*bool),
            Self::List(elements) => Value::List(ListHandle {
                token,
                len: elements.len(),
            }),
            Self::Unusable => Value::Unusable,
        }
    }
}

impl From<&str> for OwnedValue {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}
impl From<String> for OwnedValue {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}
impl From<f64> for OwnedValue {
    fn from(number: f64) -> Self {
        Self::Num(number)
    }
}
impl From<i64> for OwnedValue {
    /// Rounded to the nearest double where none holds it.
    fn from(number: i64) -> Self {
        Self::Num(number as f64)
    }
}
impl From<i32> for OwnedValue {
    fn from(number: i32) -> Self {
        Self::Num(f64::from(number))
    }
}
impl From<bool> for OwnedValue {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}
impl<T: Into<OwnedValue>> From<Vec<T>> for OwnedValue {
    fn from(elements: Vec<T>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }
}

/// A sticky assignment, owned: one record of the host's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyRecord {
    /// The experiment's id.
    pub experiment: String,
    /// Its phase.
    pub phase: u32,
    /// The unit id, as text.
    pub unit: String,
    /// The variation's key.
    pub variation: String,
}

/// A context in memory, of any manifest: attributes sorted by name.
///
/// For the fastest way in, with a snapshot at hand, see [`Slots`](crate::slots::Slots).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    attributes: Vec<(Box<str>, OwnedValue)>,
    sticky: Vec<StickyRecord>,
    forced: Vec<(Box<str>, Box<str>)>,
}

impl Context {
    /// A context without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an attribute, replacing one of that name.
    pub fn set(&mut self, name: &str, value: impl Into<OwnedValue>) -> &mut Self {
        let value = value.into();
        match self.find(name) {
            Ok(at) => {
                if let Some(entry) = self.attributes.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => self.attributes.insert(at, (name.into(), value)),
        }
        self
    }

    /// Removes an attribute: it is missing from then on.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        if let Ok(at) = self.find(name) {
            self.attributes.remove(at);
        }
        self
    }

    /// [`Context::set`] for a chain of calls.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OwnedValue>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a stored assignment, replacing one of the same experiment.
    pub fn set_sticky(&mut self, record: StickyRecord) -> &mut Self {
        self.sticky.retain(|other| other.experiment != record.experiment);
        self.sticky.push(record);
        self
    }

    /// Forces a variation of a flag, replacing one of the same flag. The host has verified the token it came from.
    pub fn set_forced(&mut self, flag: &str, variation: &str) -> &mut Self {
        self.forced.retain(|(other, _)| **other != *flag);
        self.forced.push((flag.into(), variation.into()));
        self
    }

    /// The attributes, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &OwnedValue)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) fn sticky_records(&self) -> &[StickyRecord] {
        &self.sticky
    }

    pub(crate) fn forced_variations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.forced.iter().map(|(flag, variation)| (&**flag, &**variation))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.attributes.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

impl Attributes for Context {
    #[inline]
    fn get(&self, key: AttributeKey<'_>) -> Value<'_> {
        match self.find(key.name) {
            Ok(at) => self
                .attributes
                .get(at)
                .map_or(Value::Missing, |(_, value)| value.view(at as u64)),
            Err(_) => Value::Missing,
        }
    }

    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        let attribute = usize::try_from(list.token).ok().and_then(|at| self.attributes.get(at));
        match attribute {
            Some((_, OwnedValue::List(elements))) => {
                elements.get(index).map_or(Value::Unusable, |element| element.view(0))
            }
            _ => Value::Unusable,
        }
    }

    #[inline]
    fn sticky(&self, experiment: &str) -> Option<Sticky<'_>> {
        self.sticky
            .iter()
            .find(|record| record.experiment == experiment)
            .map(|record| Sticky {
                phase: record.phase,
                unit: &record.unit,
                variation: &record.variation,
            })
    }

    #[inline]
    fn forced(&self, index: usize) -> Option<Forced<'_>> {
        self.forced
            .get(index)
            .map(|(flag, variation)| Forced { flag, variation })
    }
}
