use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::compile(pattern)
        .unwrap_or_else(|error| panic!("{pattern:?}: {error}"))
        .is_match(text)
}

/// Answers read off the contract's grammar, each a place where engines are known to differ.
#[test]
fn constructs() {
    for (pattern, text, expected) in [
        ("b", "abc", true),
        ("^b", "abc", false),
        ("c$", "abc", true),
        // The very end, not before a final newline; the very beginning, not after any newline.
        ("c$", "abc\n", false),
        ("^b", "a\nb", false),
        ("a.c", "a\nc", false),
        ("a.c", "a\rc", true),
        ("a.c", "a\u{2028}c", true),
        ("^.$", "日", true),
        ("^.$", "\u{1F600}", true),
        ("^..$", "e\u{301}", true),
        // ASCII classes.
        (r"\d", "٣", false),
        (r"\w", "é", false),
        (r"\s", "\u{a0}", false),
        (r"\s", "\u{85}", false),
        (r"^\s{6}$", "\t\n\u{b}\u{c}\r ", true),
        (r"^\S$", "\u{1c}", true),
        (r"^\W$", "é", true),
        (r"^\D$", "٣", true),
        (r"\bcaf\b", "café", true),
        (r"\bcafé\b", "café", false),
        (r"é\B", "é", true),
        (r"^\B$", "", true),
        (r"\b", "", false),
        // Case folding is ASCII: no Kelvin sign, no long s, no dotless i.
        ("(?i)straße", "STRAßE", true),
        ("(?i)k", "\u{212a}", false),
        ("(?i)s", "\u{17f}", false),
        ("(?i)É", "é", false),
        ("(?i)[B-b]", "C", true),
        ("(?i)[B-b]", "c", true),
        ("(?i)[B-b]", "a", true),
        ("(?i)[^x]", "X", false),
        (r"(?i)^[\w]$", "\u{212a}", false),
        ("[B-b]", "c", false),
        // Escapes that other engines read as something else.
        (r"\<a\>", "<a>", true),
        (r"\<a\>", "a", false),
        (r"^\'\`\_\%\@\!\;\:\,\~\&\#\/\-\=\ $", "'`_%@!;:,~&#/-= ", true),
        // Classes.
        ("^[-a]+$", "a-", true),
        ("^[a-]+$", "a-", true),
        ("^[^-]$", "-", false),
        (r"^[a\-z]+$", "b", false),
        ("^[.+*?()|{}$a^]+$", ".+*?()|{}$^", true),
        (r"^[\]\[\\]+$", r"[]\", true),
        ("^[--]$", "-", true),
        ("[^^]", "^", false),
        ("[a^]", "^", true),
        (r"^[\d-]+$", "1-2", true),
        (r"^[\D]$", "1", false),
        ("^[à-ü]$", "é", true),
        ("[^a]", "\n", true),
        // Branches, groups, counts.
        ("^(a||b)$", "", true),
        ("^()$", "", true),
        ("^(|a)+$", "aaa", true),
        ("^(?:ab){2}$", "abab", true),
        ("^a{2,3}$", "aaaa", false),
        ("^a{2,}$", "aaaa", true),
        ("^a{0}$", "", true),
        ("^a{0}$", "a", false),
        ("^a{1,2}?$", "aa", true),
        ("^(^)*a$", "a", true),
        ("^(a*)*$", "aaaa", true),
        ("a^b", "ab", false),
        ("$a", "a", false),
        ("a|b$", "ac", true),
        ("(?i)", "anything", true),
        ("\0", "a\0b", true),
        ("a b", "a b", true),
        ("#", "#", true),
        // Plain text between anchors, which needs no steps.
        (r"^a\.b$", "a.b", true),
        (r"^a\.b$", "a.bc", false),
        (r"^a\.b$", "xa.b", false),
        (r"^a\.b", "a.bc", true),
        (r"^a\.b", "aXbc", false),
        (r"a\.b$", "xa.b", true),
        (r"a\.b$", "a.b\n", false),
        (r"a\tb", "xa\tbx", true),
        (r"^\$", "$5", true),
        ("^", "", true),
        ("$", "x", true),
        ("^$", "", true),
        ("^$", "x", false),
        ("a$b", "a$b", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} in {text:?}");
    }
}

#[test]
fn refused_with_place_and_remedy() {
    for (pattern, position) in [
        ("", 0),
        ("a(b", 1),
        ("ab)", 2),
        ("*a", 0),
        ("a**", 2),
        ("a*+", 2),
        ("a+??", 3),
        ("a{2}{3}", 4),
        ("^*", 1),
        ("$+", 1),
        (r"\b{2}", 2),
        (r"\B?", 2),
        ("a|*", 2),
        ("(*)", 1),
        ("]", 0),
        ("a}", 1),
        ("a{", 2),
        ("a{x}", 2),
        ("a{1", 3),
        ("a{1,2", 5),
        ("a{,2}", 2),
        ("a{101}", 5),
        ("a{3,2}", 6),
        ("a{99999999999999999999}", 22),
        ("(?=a)", 0),
        ("(?<n>a)", 0),
        ("(?P<n>a)", 0),
        ("(?i:a)", 0),
        ("a(?i)b", 1),
        ("(?i)(?i)b", 4),
        (r"\p{L}", 0),
        (r"\x41", 0),
        (r"\1", 0),
        (r"\A", 0),
        (r"\z", 0),
        (r"\f", 0),
        (r"\é", 0),
        ("a\\", 1),
        ("[", 0),
        ("[]", 0),
        ("[^]", 0),
        ("[]a]", 0),
        ("[a", 0),
        ("[[a]]", 1),
        ("[[:alpha:]]", 1),
        ("[a&b]", 2),
        ("[a~b]", 2),
        ("a{02}", 2),
        ("a{1,02}", 4),
        ("a{00}", 2),
        ("a{ 1}", 2),
        (r"[\b]", 1),
        ("[z-a]", 1),
        ("[a-c-e]", 4),
        ("[--a]", 2),
        (r"[\d-z]", 3),
        (r"[a-\d]", 3),
        ("[a-[]", 3),
        ("[+--]", 3),
        ("((((((((((((((((((((a))))))))))))))))))))))", 41),
    ] {
        match Pattern::compile(pattern) {
            Ok(_) => panic!("{pattern:?} must be refused"),
            Err(error) => {
                assert_eq!(error.position, position, "{pattern:?}: {error}");
                assert!(!error.message.is_empty() && !error.remedy.is_empty());
            }
        }
    }
}

#[test]
fn limits() {
    assert!(Pattern::compile(&"a".repeat(1000)).is_ok());
    assert!(Pattern::compile(&"a".repeat(1001)).is_err());
    assert!(Pattern::compile(&"é".repeat(501)).is_err(), "the limit is in bytes");
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::compile(&nested(20)).is_ok());
    assert!(Pattern::compile(&nested(21)).is_err());
    assert!(Pattern::compile("(?:a{10}){100}").is_ok());
    assert!(Pattern::compile("(?:a{10,}){100}").is_err(), "{{10,}} counts 11");
    assert!(
        Pattern::compile("(?:(?:a{100}){11}){0}").is_err(),
        "a count of 0 does not excuse what it repeats"
    );
    assert!(Pattern::compile("a{100}b{100}c{100}").is_ok());
    assert!(Pattern::compile(&format!("(?:{}){{100}}", "a".repeat(19))).is_ok());
    assert!(
        Pattern::compile(&format!("(?:{}){{100}}", "a".repeat(20))).is_err(),
        "size 2,100"
    );
}

/// The worst that the limits allow becomes a program and is searched in a time linear in the text.
#[test]
fn the_greatest_patterns_are_programs() {
    let class: String = (0..300).map(|i| char::from_u32(0x4e00 + 2 * i).unwrap()).collect();
    let text = "丁".repeat(2_000);
    for pattern in [
        format!("[{class}]{{100}}"),
        format!("(?:[{class}]{{10}}){{100}}b"),
        format!("(?:{}){{100}}", "()".repeat(9)),
        format!("(?:{}){{100}}", "a?".repeat(19)),
        "(?:.{10}){100}$x".to_owned(),
        "(?:(?:.?){10}){60}b".to_owned(),
    ] {
        let pattern = Pattern::compile(&pattern).unwrap();
        let _ = pattern.is_match(&text);
    }
}

/// A piece of pattern: as the contract writes it, and as the `regex` crate does.
type Both = (String, String);

fn atom() -> impl Strategy<Value = Both> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "A", "B", "_", "1", " ", "é", "\n", r"\.", r"\-"]).prop_map(same),
        1 => Just((".".to_owned(), r"[^\n]".to_owned())),
        2 => prop::sample::select(vec![r"\d", r"\w", r"\s"]).prop_map(|class| (class.to_owned(), format!("(?-u:{class})"))),
        1 => prop::sample::select(vec![(r"\D", "[^0-9]"), (r"\W", "[^0-9A-Za-z_]"), (r"\S", r"[^\t\n\x0b\x0c\r ]")])
            .prop_map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())),
        1 => Just((r"\<".to_owned(), "<".to_owned())),
        2 => prop::sample::select(vec!["[ab]", "[^a]", "[A-b]", "[B-a]", "[-a]", "[^a-c1]", r"[\n-a]", "[à-ü]"]).prop_map(same),
    ]
}

fn anchor() -> impl Strategy<Value = Both> {
    prop::sample::select(vec![("^", r"\A"), ("$", r"\z"), (r"\b", r"(?-u:\b)")])
        .prop_map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
}

fn pattern() -> impl Strategy<Value = Both> {
    let leaf = prop_oneof![6 => quantified(atom().boxed()), 1 => anchor().boxed()];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let concat = prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| {
            parts
                .into_iter()
                .fold(Both::default(), |whole, part| (whole.0 + &part.0, whole.1 + &part.1))
        });
        let group = (concat.clone(), concat.clone(), 0..4).prop_map(|(left, right, kind)| match kind {
            0 => (format!("({})", left.0), format!("({})", left.1)),
            1 => (
                format!("(?:{}|{})", left.0, right.0),
                format!("(?:{}|{})", left.1, right.1),
            ),
            2 => (format!("(|{})", left.0), format!("(|{})", left.1)),
            _ => (format!("({}|{})", left.0, right.0), format!("({}|{})", left.1, right.1)),
        });
        prop_oneof![quantified(group.boxed()), concat.boxed()]
    })
}

fn quantified(atom: BoxedStrategy<Both>) -> BoxedStrategy<Both> {
    (
        atom,
        prop::sample::select(vec![
            "", "", "", "*", "+", "?", "*?", "{2}", "{1,}", "{0,2}", "{0}", "{1,2}?",
        ]),
    )
        .prop_map(|(atom, quantifier)| (format!("{}{quantifier}", atom.0), format!("{}{quantifier}", atom.1)))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Oracle: the `regex` crate, another parser and other engines.
    #[test]
    fn agrees_with_the_regex_crate((ours, theirs) in pattern(), texts in prop::collection::vec("[abAB_1 é\n.<-]{0,6}", 8)) {
        if let Ok(compiled) = Pattern::compile(&ours) {
            let oracle = regex::Regex::new(&theirs).unwrap();
            for text in &texts {
                prop_assert_eq!(compiled.is_match(text), oracle.is_match(text), "{:?} in {:?}", ours, text);
            }
        }
    }

    /// Oracle: the `regex` crate on text folded beforehand, for patterns without escapes that folding would change.
    #[test]
    fn folds_as_folded_text(ranges in prop::collection::vec(("[A-Za-z]", "[A-Za-z]"), 1..4), negated: bool, text in "[A-Za-z\\[_`é@{]") {
        let inside = ranges.iter().any(|(a, b)| {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            [text.to_ascii_lowercase(), text.to_ascii_uppercase()].iter().any(|t| low <= t && t <= high)
        });
        let class: String = ranges.iter().map(|(a, b)| if a <= b { format!("{a}-{b}") } else { format!("{b}-{a}") }).collect();
        let pattern = format!("(?i)[{}{class}]", if negated { "^" } else { "" });
        prop_assert_eq!(matches(&pattern, &text), inside != negated, "{} in {:?}", pattern, text);
    }

    /// Oracle: the standard library's text search, for plain text however it is escaped and anchored.
    #[test]
    fn plain_text_is_found_as_text(part in "[ab.$^\\\\\n-]{1,4}", text in "[ab.$^\\\\\n-]{0,8}", begins: bool, ends: bool) {
        let escaped: String = part.chars().map(|c| match c {
            '\n' => r"\n".to_owned(),
            'a' | 'b' => c.to_string(),
            c => format!("\\{c}"),
        }).collect();
        let pattern = format!("{}{escaped}{}", if begins { "^" } else { "" }, if ends { "$" } else { "" });
        let expected = match (begins, ends) {
            (false, false) => text.contains(&part),
            (true, false) => text.starts_with(&part),
            (false, true) => text.ends_with(&part),
            (true, true) => text == part,
        };
        prop_assert_eq!(matches(&pattern, &text), expected, "{} in {:?}", pattern, text);
    }

    /// Whatever the grammar accepts becomes a program; nothing panics.
    #[test]
    fn whatever_the_grammar_accepts_compiles(pattern in "[\\\\.+*?()|\\[\\]{}^$a-c0-9,:=<\\-i]{1,24}|\\PC{0,24}") {
        if let Err(error) = Pattern::compile(&pattern) {
            prop_assert!(pattern.is_char_boundary(error.position));
            prop_assert!(error.message != "the pattern has too many steps", "{:?}: {}", pattern, error);
        }
    }
}
