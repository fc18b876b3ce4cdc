"""Patterns and what they are found in. Part of `targeting.json`. Where Python's `re` (ASCII) means the same, its answer is asserted beside the oracle's."""

import re

from authoring import Group, manifest

TEXTS = ["", "a", "b", "ab", "abc", "aab", "A", "AB", "xaby", "a\nb", "\n", "a\n", "\na", "a b", " ", "_", "-", "^", "]", "[", "\\", "a-b", "a_b", "a1", "1", "12", "123",
         "\t", "\x0b", "\x0c", "\r", "\x85", "\xa0", "\u2028", "\u00e9", "a\u00e9", "\u00e9a", "\u0663", "\u212a", "\u017f", "k", "s", "K", "S", "\U0001f600",
         "a\U0001f600b", "aaa", "aaaaaaaaaa", "{", "}", "a{2}", "a.b", "a+b", "$", "(", "|", "foo@example.com", "2023-11-14", "\x00", "a\x00b", "\uffff", "\U0010ffff", "<", ">"]
# Patterns that Python's re.ASCII reads alike ($ becomes \Z there).
COMMON = ["a", "ab", "^a", "a$", "^a$", "^$", "^", "$", "a|b", "a|", "|a", "(a|b)c", "(?:a|b)*", "a*", "a+", "a?", "a*?", "a+?b", "a??", "a{2}", "a{2,}", "a{1,2}",
          "a{0}", "a{0,0}b", "a{2}?", "(ab){2}", "(a{2}){2}", "()", "()*", "(?:)", "(|a)b", ".", "^.$", "a.b", "^...$", "\\.", "a\\.b", "\\d", "^\\d+$", "\\D", "^\\D$",
          "\\w", "^\\w+$", "\\W", "^\\W$", "\\s", "^\\s$", "\\S", "^\\S$", "\\ba", "a\\b", "\\bab\\b", "a\\Bb", "\\Ba", "\\b", "^\\b", "\\b$", "[ab]", "[^ab]", "^[^a]$",
          "[a-c]", "[^a-c]", "[a\\-c]", "[-a]", "[a-]", "[^-a]", "[-]", "[a^]", "[\\^a]", "[\\]]", "[\\[]", "[\\\\]", "[.]", "[*+?]", "[(){}|$]", "[\\d]", "[^\\d]",
          "[\\w\\-]", "[\\D]", "[\\s\\S]", "[^\\s\\S]", "[\\t\\n]", "[\\t-\\r]", "[\u00e9]", "[^\u00e9]", "[\u0660-\u0669]", "[\U0001f600-\U0001f64f]", "\u00e9", "^\u00e9$",
          "\U0001f600", "^.{1}$", "\\{", "\\}", "a\\{2\\}", "\\$", "\\^", "\\|", "\\(", "\\)", "\\[", "\\]", "\\\\", "\\t", "\\n", "\\r",
          "\\-", "\\/", "\\#", "\\&", "\\~", "\\,", "\\:", "\\;", "\\=", "\\!", "\\@", "\\%", "\\_", "\\'", "\\\"", "\\`", "\\ ", "a\\ b",
          "^[a-z0-9._%+\\-]+@[a-z0-9.\\-]+\\.[a-z]{2,}$", "^\\d{4}-\\d{2}-\\d{2}$", "(a+)+$", "(a*)*b", "(a|aa)+$",
          "([ab]*)c", "x?a", "^(a|ab)(c|bc)$", "\x00", "[\x00]", "(((((((((((((((((((a)))))))))))))))))))", "[!-/]", "[^!-\\~]", "a-b", "-", "<", "&", "~", "\\]a",
          "^(?:.*)$", "^.*$", "^[\\s\\S]*$", "$^", "a$b", "b^a", "\\b\\b", "\\B\\B", "^^a", "a$$", "[\\--a]", "[+-\\-]", "^(\\w+\\s?)*$", "\\_\\_", "[\\_]"]
# What Python reads otherwise, or not at all: `(?i)` folds ASCII only, `\<` and `\>` are punctuation here.
OWN = ["(?i)a", "(?i)^AB$", "(?i)k", "(?i)K", "(?i)s", "(?i)[k]", "(?i)[^k]", "(?i)^[^s]$", "(?i)[a-c]", "(?i)[Z-a]", "(?i)\u00e9", "(?i)\u00c9", "(?i)\u212a", "(?i)\u017f",
       "(?i)[\u0130-\u0131]", "(?i)^\\w$", "(?i)^\\W$", "(?i)", "(?i)|a", "(?i)(ab|c)", "\\<", "\\>", "[\\<\\>]", "[--]", "[^^]", "a\\<b", "(?i)[^A-Z]", "(?i)[x]",
       "(?i)\\bAB\\b"]


def python_pattern(pattern):
    out, at, in_class = "", 0, False
    while at < len(pattern):
        c = pattern[at]
        if c == "\\":
            out += pattern[at : at + 2]
            at += 2
            continue
        if c == "[" and not in_class:
            in_class = True
        elif c == "]" and in_class:
            in_class = False
        out += "\\Z" if c == "$" and not in_class else c
        at += 1
    return re.compile(out, re.ASCII)


def pattern_group(three_valued) -> Group:
    patterns = COMMON + OWN
    group = Group("patterns", manifest({f"p{at:03}": three_valued({"op": "regex_match", "attr": "x", "value": p}) for at, p in enumerate(patterns)}))
    assert group.written()["unsupported"] == [], [patterns[int(key[1:])] for key in group.written()["unsupported"]]
    for at, pattern in enumerate(patterns):
        peer = python_pattern(pattern) if pattern in COMMON else None
        for number, text in enumerate(TEXTS):
            # A third of the plain patterns' pairs, so that the file stays small; every pair where other libraries differ.
            if pattern in COMMON and (at + number) % 3:
                continue
            expect = group.ask(f"{at:03} in {number}", f"p{at:03}", {"x": text}, needs=("nul",) if "\x00" in text else ())
            # Python 3.11 finds no \B in the empty text; the contract does.
            if peer and not (text == "" and "\\B" in pattern):
                assert expect["variation"] == ("true" if peer.search(text) else "false"), (pattern, text)
    for label, pattern_at, text in (("long", patterns.index("(a*)*b"), "a"), ("long too", patterns.index("(a|aa)+$"), "a")):
        group.ask(label, f"p{pattern_at:03}", {"x": {"$special": "repeat", "text": text, "times": 65536}})
    return group
