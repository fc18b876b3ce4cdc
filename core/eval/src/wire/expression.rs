//! Targeting expressions (`docs/contract/operators.md`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::manifest::{Hash, HashRange};
use super::operator::{Op, OperandKind};
use super::strict::{ObjectOnly, given, object_only};

/// A three-valued expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `{"all":[…]}`: true when all are; true for none.
    All(Vec<Expression>),
    /// `{"any":[…]}`: true when one is; false for none.
    Any(Vec<Expression>),
    /// `{"not":…}`.
    Not(Box<Expression>),
    /// A leaf on one attribute.
    Attribute(AttributeTest),
    /// `in_bucket`.
    InBucket(BucketTest),
    /// `in_list`.
    InList(ListTest),
    /// `in_segment`, of the segment of that name.
    InSegment(String),
    /// `flag_is`.
    FlagIs(FlagTest),
}

/// A leaf on one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeTest {
    /// The attribute's name.
    pub attr: String,
    /// The operator, one of those on an attribute.
    pub op: Op,
    /// Its operand, of the kind [`Op::operand`] says.
    pub operand: Operand,
    /// For a list: how the answers of its elements are joined.
    pub over: Option<Over>,
}

/// The operand of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// None (`is_present`).
    None,
    /// `value`: a string.
    Text(String),
    /// `values`: strings.
    Texts(Vec<String>),
    /// `value`: a number.
    Number(f64),
    /// `values`: numbers.
    Numbers(Vec<f64>),
    /// `value`: a boolean.
    Bool(bool),
    /// `value`: milliseconds.
    Millis(i64),
}

/// How the answers for a list's elements are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// As in `{"any":…}`.
    Any,
    /// As in `{"all":…}`.
    All,
    /// The `not` of `any`.
    None,
}

/// `in_bucket`: the unit's hash under a salt lies in one of the ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketTest {
    /// The attribute that gives the unit id.
    pub unit: String,
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: String,
    /// Sorted, disjoint.
    pub ranges: Vec<HashRange>,
}

/// `in_list`: the unit is in an id list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListTest {
    /// The attribute that gives the unit id.
    pub unit: String,
    /// The list's id in the manifest.
    pub list: String,
}

/// `flag_is`: another flag gives one of the variations.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagTest {
    /// The other flag's key.
    pub flag: String,
    /// Variation keys, at least one.
    pub variations: Vec<String>,
}

/// Every field any expression has: what stands in JSON, before it is known which of them belong together. Null is told from absent: it is
/// absent to an expression that has the field, and unknown to one that hasn't.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub(crate) struct ExpressionFields {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    all: Option<Option<Vec<Expression>>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    any: Option<Option<Vec<Expression>>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    not: Option<Option<Box<Expression>>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    op: Option<Option<Op>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    attr: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    value: Option<Option<Scalar>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    values: Option<Option<Vec<Scalar>>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    over: Option<Option<Over>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    unit: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    hash: Option<Option<Hash>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    salt: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    ranges: Option<Option<Vec<HashRange>>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    segment: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    list: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    flag: Option<Option<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    variations: Option<Option<Vec<String>>>,
}
object_only!(ExpressionFields);

/// One operand as it stands in JSON.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(untagged))]
enum Scalar {
    Text(String),
    /// Written without fraction or exponent.
    Integer(i64),
    Number(f64),
    Bool(bool),
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, a number or a boolean")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Integer(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Integer))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.into()))
            }
            fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
                Ok(Scalar::Text(value))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Scalar {
    fn text(self, op: Op) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(format!(
                "`{}` compares strings; write its operand as a string",
                op.name()
            )),
        }
    }
    fn number(self, op: Op) -> Result<f64, String> {
        match self {
            Self::Integer(integer) => Ok(integer as f64),
            Self::Number(number) => Ok(number),
            _ => Err(format!(
                "`{}` compares numbers; write its operand as a number",
                op.name()
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = ExpressionFields::deserialize(ObjectOnly(deserializer))?;
        Self::from_fields(fields).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.clone().into_fields().serialize(serializer)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Expression {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expression".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ExpressionFields::json_schema(generator)
    }
}

impl Expression {
    /// Puts the fields of one JSON object together; the error names the field and the remedy.
    fn from_fields(mut fields: ExpressionFields) -> Result<Self, String> {
        let shape = match (
            fields.all.take(),
            fields.any.take(),
            fields.not.take(),
            fields.op.take(),
        ) {
            (Some(Some(all)), None, None, None) => Self::All(all),
            (None, Some(Some(any)), None, None) => Self::Any(any),
            (None, None, Some(Some(not)), None) => Self::Not(not),
            (None, None, None, Some(Some(op))) => Self::leaf(op, &mut fields)?,
            _ => return Err("an expression has exactly one of `all`, `any`, `not`, `op`".into()),
        };
        match fields.first_left() {
            None => Ok(shape),
            Some(field) => Err(format!(
                "the field `{field}` does not belong to this expression; remove it"
            )),
        }
    }

    fn leaf(op: Op, fields: &mut ExpressionFields) -> Result<Self, String> {
        Ok(match op {
            Op::InBucket => Self::InBucket(BucketTest {
                unit: needed(op, "unit", &mut fields.unit)?,
                hash: needed(op, "hash", &mut fields.hash)?,
                salt: needed(op, "salt", &mut fields.salt)?,
                ranges: needed(op, "ranges", &mut fields.ranges)?,
            }),
            Op::InList => Self::InList(ListTest {
                unit: needed(op, "unit", &mut fields.unit)?,
                list: needed(op, "list", &mut fields.list)?,
            }),
            Op::InSegment => Self::InSegment(needed(op, "segment", &mut fields.segment)?),
            Op::FlagIs => Self::FlagIs(FlagTest {
                flag: needed(op, "flag", &mut fields.flag)?,
                variations: needed(op, "variations", &mut fields.variations)?,
            }),
            _ => {
                let attr = needed(op, "attr", &mut fields.attr)?;
                let operand = match op.operand() {
                    OperandKind::None | OperandKind::Own => Operand::None,
                    OperandKind::Text => Operand::Text(needed(op, "value", &mut fields.value)?.text(op)?),
                    OperandKind::Number => Operand::Number(needed(op, "value", &mut fields.value)?.number(op)?),
                    OperandKind::Bool => match needed(op, "value", &mut fields.value)? {
                        Scalar::Bool(bool) => Operand::Bool(bool),
                        _ => return Err(format!("`{}` needs true or false as `value`", op.name())),
                    },
                    OperandKind::Millis => match needed(op, "value", &mut fields.value)? {
                        Scalar::Integer(millis) => Operand::Millis(millis),
                        _ => {
                            return Err(format!(
                                "`{}` needs an integer number of milliseconds as `value`",
                                op.name()
                            ));
                        }
                    },
                    OperandKind::Texts => {
                        let values = needed(op, "values", &mut fields.values)?;
                        Operand::Texts(
                            values
                                .into_iter()
                                .map(|value| value.text(op))
                                .collect::<Result<_, _>>()?,
                        )
                    }
                    OperandKind::Numbers => {
                        let values = needed(op, "values", &mut fields.values)?;
                        Operand::Numbers(
                            values
                                .into_iter()
                                .map(|value| value.number(op))
                                .collect::<Result<_, _>>()?,
                        )
                    }
                };
                // `is_present` asks about the attribute itself: there `over` is an unknown field.
                let over = if op == Op::IsPresent {
                    None
                } else {
                    fields.over.take().flatten()
                };
                Self::Attribute(AttributeTest {
                    attr,
                    op,
                    operand,
                    over,
                })
            }
        })
    }

    fn into_fields(self) -> ExpressionFields {
        let mut fields = ExpressionFields::default();
        match self {
            Self::All(all) => fields.all = Some(Some(all)),
            Self::Any(any) => fields.any = Some(Some(any)),
            Self::Not(not) => fields.not = Some(Some(not)),
            Self::InBucket(BucketTest {
                unit,
                hash,
                salt,
                ranges,
            }) => {
                (fields.op, fields.unit, fields.hash) = (Some(Some(Op::InBucket)), Some(Some(unit)), Some(Some(hash)));
                (fields.salt, fields.ranges) = (Some(Some(salt)), Some(Some(ranges)));
            }
            Self::InList(ListTest { unit, list }) => {
                (fields.op, fields.unit, fields.list) = (Some(Some(Op::InList)), Some(Some(unit)), Some(Some(list)))
            }
            Self::InSegment(segment) => (fields.op, fields.segment) = (Some(Some(Op::InSegment)), Some(Some(segment))),
            Self::FlagIs(FlagTest { flag, variations }) => {
                (fields.op, fields.flag, fields.variations) =
                    (Some(Some(Op::FlagIs)), Some(Some(flag)), Some(Some(variations)));
            }
            Self::Attribute(AttributeTest {
                attr,
                op,
                operand,
                over,
            }) => {
                (fields.op, fields.attr, fields.over) = (Some(Some(op)), Some(Some(attr)), over.map(Some));
                match operand {
                    Operand::None => {}
                    Operand::Text(text) => fields.value = Some(Some(Scalar::Text(text))),
                    Operand::Number(number) => fields.value = Some(Some(Scalar::Number(number))),
                    Operand::Bool(bool) => fields.value = Some(Some(Scalar::Bool(bool))),
                    Operand::Millis(millis) => fields.value = Some(Some(Scalar::Integer(millis))),
                    Operand::Texts(texts) => fields.values = Some(Some(texts.into_iter().map(Scalar::Text).collect())),
                    Operand::Numbers(numbers) => {
                        fields.values = Some(Some(numbers.into_iter().map(Scalar::Number).collect()))
                    }
                }
            }
        }
        fields
    }
}

/// Takes a field that the operator can't do without.
fn needed<T>(op: Op, name: &str, field: &mut Option<Option<T>>) -> Result<T, String> {
    field
        .take()
        .flatten()
        .ok_or_else(|| format!("`{}` needs the field `{name}`", op.name()))
}

impl ExpressionFields {
    /// A field that nobody took: it does not belong to this expression.
    fn first_left(&self) -> Option<&'static str> {
        [
            ("attr", self.attr.is_some()),
            ("value", self.value.is_some()),
            ("values", self.values.is_some()),
            ("over", self.over.is_some()),
            ("unit", self.unit.is_some()),
            ("hash", self.hash.is_some()),
            ("salt", self.salt.is_some()),
            ("ranges", self.ranges.is_some()),
            ("segment", self.segment.is_some()),
            ("list", self.list.is_some()),
            ("flag", self.flag.is_some()),
            ("variations", self.variations.is_some()),
        ]
        .into_iter()
        .find_map(|(field, left)| left.then_some(field))
    }
}
