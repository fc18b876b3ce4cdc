//! Semantic Versioning 2.0.0: exactly its grammar, its precedence (section 11), numbers of any length.

use core::cmp::Ordering;

use super::MAX_VERSION_BYTES;

/// One of MAJOR, MINOR, PATCH. Numbers below 2^64 − 1 are compared as integers; only longer ones look at their digits.
#[derive(Clone, Copy, Debug)]
struct Number<'a> {
    /// The value, `u64::MAX` when it is that or greater.
    value: u64,
    digits: &'a [u8],
}

impl Number<'_> {
    #[inline]
    fn compare(&self, other: &Number<'_>) -> Ordering {
        match self.value.cmp(&other.value) {
            Ordering::Equal if self.value == u64::MAX => compare_digits(self.digits, other.digits),
            order => order,
        }
    }
}

/// Digits without leading zeros: the longer number is the greater, equally long ones compare as text.
#[inline]
fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// A semantic version borrowed from an attribute. Build metadata is checked and then forgotten: it has no precedence.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    major: Number<'a>,
    minor: Number<'a>,
    patch: Number<'a>,
    /// Dot-separated identifiers after `-`; empty when this is a release.
    pre: &'a [u8],
}

impl<'a> Version<'a> {
    /// Parses `text`; `None` when it is no semantic version or longer than 256 bytes.
    #[inline]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() > MAX_VERSION_BYTES {
            return None;
        }
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix(b".")?)?;
        let (patch, mut rest) = number(rest.strip_prefix(b".")?)?;
        let mut pre: &[u8] = &[];
        if let Some(after) = rest.strip_prefix(b"-") {
            let end = after.iter().position(|&byte| byte == b'+').unwrap_or(after.len());
            (pre, rest) = after.split_at_checked(end)?;
            if !identifiers(pre, true) {
                return None;
            }
        }
        if let Some(build) = rest.strip_prefix(b"+") {
            if !identifiers(build, false) {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
        Some(Self {
            major,
            minor,
            patch,
            pre,
        })
    }

    /// Precedence of section 11 of the specification; build metadata is ignored.
    #[inline]
    pub fn cmp_precedence(&self, other: &Version<'_>) -> Ordering {
        self.major
            .compare(&other.major)
            .then_with(|| self.minor.compare(&other.minor))
            .then_with(|| self.patch.compare(&other.patch))
            .then_with(|| compare_pre(self.pre, other.pre))
    }
}

/// Takes a numeric identifier off the front: `0`, or digits without a leading zero.
#[inline]
fn number(text: &[u8]) -> Option<(Number<'_>, &[u8])> {
    let mut value = 0u64;
    let mut count = 0usize;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(digit));
        count = count.saturating_add(1);
    }
    let (digits, rest) = text.split_at_checked(count)?;
    match digits {
        [] | [b'0', _, ..] => None,
        _ => Some((Number { value, digits }, rest)),
    }
}

/// Whether `text` is dot-separated identifiers of `[0-9A-Za-z-]`, none empty; in a pre-release a number has no leading zero.
fn identifiers(text: &[u8], is_pre_release: bool) -> bool {
    text.split(|&byte| byte == b'.').all(|identifier| {
        let well_formed = !identifier.is_empty()
            && identifier
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let leading_zero = is_pre_release && matches!(identifier, [b'0', _, ..]) && is_numeric(identifier);
        well_formed && !leading_zero
    })
}

#[inline]
fn is_numeric(identifier: &[u8]) -> bool {
    identifier.iter().all(u8::is_ascii_digit)
}

fn compare_pre(left: &[u8], right: &[u8]) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        // A release comes after its pre-releases.
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let mut left = left.split(|&byte| byte == b'.');
    let mut right = right.split(|&byte| byte == b'.');
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            // The longer list is the greater when all before is equal.
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_numeric(a), is_numeric(b)) {
                (true, true) => compare_digits(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// An operand: a semantic version that lives as long as the compiled manifest.
#[derive(Clone, Debug)]
pub struct OwnedVersion {
    /// Values as in `Number`, and the digits of those that need them.
    numbers: [(u64, Box<[u8]>); 3],
    pre: Box<[u8]>,
}

impl OwnedVersion {
    /// As [`Version::parse`], keeping what a comparison needs.
    pub fn parse(text: &str) -> Option<Self> {
        let version = Version::parse(text)?;
        let keep = |number: Number<'_>| {
            let digits = if number.value == u64::MAX { number.digits } else { &[] };
            (number.value, Box::from(digits))
        };
        Some(Self {
            numbers: [keep(version.major), keep(version.minor), keep(version.patch)],
            pre: version.pre.into(),
        })
    }

    /// The borrowed view of this operand.
    #[inline]
    pub fn as_version(&self) -> Version<'_> {
        let [major, minor, patch] = &self.numbers;
        let number = |kept: &'_ (u64, Box<[u8]>)| kept.0;
        Version {
            major: Number {
                value: number(major),
                digits: &major.1,
            },
            minor: Number {
                value: number(minor),
                digits: &minor.1,
            },
            patch: Number {
                value: number(patch),
                digits: &patch.1,
            },
            pre: &self.pre,
        }
    }

    /// How this operand compares to an attribute's version, by precedence.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the two sides are different types
    pub fn cmp(&self, other: &Version<'_>) -> Ordering {
        self.as_version().cmp_precedence(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the specification's own regular-expression test page (semver.org, "valid" and "invalid" lists).
    const VALID: &[&str] = &[
        "0.0.4",
        "1.2.3",
        "10.20.30",
        "1.1.2-prerelease+meta",
        "1.1.2+meta",
        "1.1.2+meta-valid",
        "1.0.0-alpha",
        "1.0.0-beta",
        "1.0.0-alpha.beta",
        "1.0.0-alpha.beta.1",
        "1.0.0-alpha.1",
        "1.0.0-alpha0.valid",
        "1.0.0-alpha.0valid",
        "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay",
        "1.0.0-rc.1+build.1",
        "2.0.0-rc.1+build.123",
        "1.2.3-beta",
        "10.2.3-DEV-SNAPSHOT",
        "1.2.3-SNAPSHOT-123",
        "1.0.0",
        "2.0.0",
        "1.1.7",
        "2.0.0+build.1848",
        "2.0.1-alpha.1227",
        "1.0.0-alpha+beta",
        "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
        "1.2.3----R-S.12.9.1--.12+meta",
        "1.2.3----RC-SNAPSHOT.12.9.1--.12",
        "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
        "99999999999999999999999.999999999999999999.99999999999999999",
        "1.0.0-0A.is.legal",
    ];
    const INVALID: &[&str] = &[
        "",
        "1",
        "1.2",
        "1.2.3-0123",
        "1.2.3-0123.0123",
        "1.1.2+.123",
        "+invalid",
        "-invalid",
        "-invalid+invalid",
        "-invalid.01",
        "alpha",
        "alpha.beta",
        "alpha.beta.1",
        "alpha.1",
        "alpha+beta",
        "alpha_beta",
        "alpha.",
        "alpha..",
        "beta",
        "1.0.0-alpha_beta",
        "-alpha.",
        "1.0.0-alpha..",
        "1.0.0-alpha..1",
        "1.0.0-alpha...1",
        "01.1.1",
        "1.01.1",
        "1.1.01",
        "1.2.3.DEV",
        "1.2-SNAPSHOT",
        "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788",
        "1.2-RC-SNAPSHOT",
        "-1.0.3-gamma+b7718",
        "+justmeta",
        "9.8.7+meta+meta",
        "9.8.7-whatever+meta+meta",
        "v1.2.3",
        " 1.2.3",
        "1.2.3 ",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-é",
        "１.2.3",
    ];

    #[test]
    fn specification_lists() {
        for text in VALID {
            assert!(Version::parse(text).is_some(), "{text} is valid");
        }
        for text in INVALID {
            assert!(Version::parse(text).is_none(), "{text:?} is invalid");
        }
    }

    #[test]
    fn precedence_of_section_11() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
            "18446744073709551614.0.0",
            "18446744073709551615.0.0",
            "18446744073709551616.0.0",
            "99999999999999999999999.0.0-1",
            "99999999999999999999999.0.0-99999999999999999999998",
            "99999999999999999999999.0.0-99999999999999999999999",
            "99999999999999999999999.0.0",
            "100000000000000000000000.0.0",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                let order = OwnedVersion::parse(left).unwrap().cmp(&Version::parse(right).unwrap());
                assert_eq!(order, i.cmp(&j), "{left} against {right}");
            }
        }
        let build = OwnedVersion::parse("1.0.0+a")
            .unwrap()
            .cmp(&Version::parse("1.0.0+b").unwrap());
        assert_eq!(build, Ordering::Equal);
    }

    #[test]
    fn length_is_bounded() {
        assert!(Version::parse(&format!("1.0.0-{}", "a".repeat(250))).is_some());
        assert!(Version::parse(&format!("1.0.0-{}", "a".repeat(251))).is_none());
    }

    fn identifier() -> impl Strategy<Value = String> {
        prop_oneof!["0|[1-9][0-9]{0,3}", "[0-9A-Za-z-]{1,4}", "[a-b]"]
    }

    fn version() -> impl Strategy<Value = String> {
        let list = || prop::collection::vec(identifier(), 0..4).prop_map(|ids| ids.join("."));
        ("(0|[1-9][0-9]{0,2})\\.(0|[1-3])\\.(0|[1-3])", list(), list()).prop_map(|(core, pre, build)| {
            let pre = if pre.is_empty() { pre } else { format!("-{pre}") };
            let build = if build.is_empty() { build } else { format!("+{build}") };
            format!("{core}{pre}{build}")
        })
    }

    proptest! {
        /// Oracle: the `semver` crate, for validity and precedence.
        #[test]
        fn agrees_with_the_semver_crate(left in version(), right in version()) {
            let oracle = (::semver::Version::parse(&left), ::semver::Version::parse(&right));
            prop_assert_eq!(Version::parse(&left).is_some(), oracle.0.is_ok(), "{}", &left);
            prop_assert_eq!(Version::parse(&right).is_some(), oracle.1.is_ok(), "{}", &right);
            if let (Ok(a), Ok(b)) = oracle {
                let order = OwnedVersion::parse(&left).unwrap().cmp(&Version::parse(&right).unwrap());
                prop_assert_eq!(order, a.cmp_precedence(&b), "{} against {}", left, right);
            }
        }

        #[test]
        fn any_text_is_judged_as_the_semver_crate_does(text in "[0-9.+a-]{0,14}|\\PC{0,20}") {
            prop_assert_eq!(Version::parse(&text).is_some(), ::semver::Version::parse(&text).is_ok());
        }
    }
}
