//! The operators by name, and the operand each takes (`docs/contract/operators.md`).

use serde::{Deserialize, Serialize};

/// An operator. A new meaning is a new name, never a mode of an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each name is its own row of the contract's table
pub enum Op {
    IsPresent,
    StrEq,
    StrIn,
    StrPrefix,
    StrSuffix,
    StrContains,
    StrEqCi,
    StrInCi,
    StrPrefixCi,
    StrSuffixCi,
    StrContainsCi,
    StrEqSha256,
    StrInSha256,
    StrEqCiSha256,
    StrInCiSha256,
    NumEq,
    NumLt,
    NumLte,
    NumGt,
    NumGte,
    NumIn,
    BoolIs,
    SemverEq,
    SemverLt,
    SemverLte,
    SemverGt,
    SemverGte,
    DottedEq,
    DottedLt,
    DottedLte,
    DottedGt,
    DottedGte,
    DateLt,
    DateLte,
    DateGt,
    DateGte,
    AgeLt,
    AgeLte,
    AgeGt,
    AgeGte,
    RegexMatch,
    IpInCidr,
    InBucket,
    InList,
    InSegment,
    FlagIs,
}

/// The operand an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperandKind {
    /// No operand.
    None,
    /// `value`: a string.
    Text,
    /// `values`: at least one string.
    Texts,
    /// `value`: a number.
    Number,
    /// `values`: at least one number.
    Numbers,
    /// `value`: a boolean.
    Bool,
    /// `value`: an integer number of milliseconds within ±(2^53 − 1).
    Millis,
    /// Fields of its own: a leaf that is not about one attribute.
    Own,
}

impl Op {
    /// The operand this operator takes.
    pub const fn operand(self) -> OperandKind {
        use Op::*;
        match self {
            IsPresent => OperandKind::None,
            StrEq | StrEqCi | StrEqSha256 | StrEqCiSha256 => OperandKind::Text,
            SemverEq | SemverLt | SemverLte | SemverGt | SemverGte => OperandKind::Text,
            DottedEq | DottedLt | DottedLte | DottedGt | DottedGte => OperandKind::Text,
            DateLt | DateLte | DateGt | DateGte | RegexMatch => OperandKind::Text,
            StrIn | StrPrefix | StrSuffix | StrContains | StrInSha256 | StrInCiSha256 => OperandKind::Texts,
            StrInCi | StrPrefixCi | StrSuffixCi | StrContainsCi | IpInCidr => OperandKind::Texts,
            NumEq | NumLt | NumLte | NumGt | NumGte => OperandKind::Number,
            NumIn => OperandKind::Numbers,
            BoolIs => OperandKind::Bool,
            AgeLt | AgeLte | AgeGt | AgeGte => OperandKind::Millis,
            InBucket | InList | InSegment | FlagIs => OperandKind::Own,
        }
    }

    /// The name, as it stands in a manifest.
    pub const fn name(self) -> &'static str {
        use Op::*;
        match self {
            IsPresent => "is_present",
            StrEq => "str_eq",
            StrIn => "str_in",
            StrPrefix => "str_prefix",
            StrSuffix => "str_suffix",
            StrContains => "str_contains",
            StrEqCi => "str_eq_ci",
            StrInCi => "str_in_ci",
            StrPrefixCi => "str_prefix_ci",
            StrSuffixCi => "str_suffix_ci",
            StrContainsCi => "str_contains_ci",
            StrEqSha256 => "str_eq_sha256",
            StrInSha256 => "str_in_sha256",
            StrEqCiSha256 => "str_eq_ci_sha256",
            StrInCiSha256 => "str_in_ci_sha256",
            NumEq => "num_eq",
            NumLt => "num_lt",
            NumLte => "num_lte",
            NumGt => "num_gt",
            NumGte => "num_gte",
            NumIn => "num_in",
            BoolIs => "bool_is",
            SemverEq => "semver_eq",
            SemverLt => "semver_lt",
            SemverLte => "semver_lte",
            SemverGt => "semver_gt",
            SemverGte => "semver_gte",
            DottedEq => "dotted_eq",
            DottedLt => "dotted_lt",
            DottedLte => "dotted_lte",
            DottedGt => "dotted_gt",
            DottedGte => "dotted_gte",
            DateLt => "date_lt",
            DateLte => "date_lte",
            DateGt => "date_gt",
            DateGte => "date_gte",
            AgeLt => "age_lt",
            AgeLte => "age_lte",
            AgeGt => "age_gt",
            AgeGte => "age_gte",
            RegexMatch => "regex_match",
            IpInCidr => "ip_in_cidr",
            InBucket => "in_bucket",
            InList => "in_list",
            InSegment => "in_segment",
            FlagIs => "flag_is",
        }
    }
}
