"""The patterns of `regex_match` (operators.md, Formats): a parser for that grammar and nothing else, and a state-set matcher (no backtracking)."""

_TOP = 0x10FFFF
_PUNCTUATION = frozenset("\\.+*?()|[]{}^$-/#&~,:;=!<>@%_'\"` ")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r"}
_SPECIAL = frozenset("\\.+*?()|[]{}^$")
_DIGIT = [(0x30, 0x39)]
_WORD = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE = [(0x09, 0x0D), (0x20, 0x20)]
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


class BadPattern(Exception):
    pass


def _merge(ranges):
    merged = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _complement(ranges):
    out, at = [], 0
    for low, high in _merge(ranges):
        if at < low:
            out.append((at, low - 1))
        at = high + 1
    if at <= _TOP:
        out.append((at, _TOP))
    return out


def _fold(ranges):
    """Adds the other case of every ASCII letter that is in."""
    more = list(ranges)
    for low, high in ranges:
        for first, last, shift in ((0x41, 0x5A, 32), (0x61, 0x7A, -32)):
            a, b = max(low, first), min(high, last)
            if a <= b:
                more.append((a + shift, b + shift))
    return _merge(more)


# Syntax trees: ("set", ranges) ("assert", kind) ("cat", [..]) ("alt", [..]) ("repeat", tree, least, most or None)


class _Parser:
    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.fold = text.startswith("(?i)")
        if self.fold:
            self.at = 4

    def peek(self, ahead=0):
        where = self.at + ahead
        return self.text[where] if where < len(self.text) else ""

    def take(self):
        c = self.peek()
        if c == "":
            raise BadPattern("ends too early")
        self.at += 1
        return c

    def whole(self):
        tree, _, size = self.alternation(0)
        if size > 2000:
            raise BadPattern("larger than 2,000")
        if self.at != len(self.text):
            raise BadPattern("unmatched )")
        return tree

    def alternation(self, depth):
        """(tree, largest product of counted bounds inside, size)"""
        branches, product, size = [], 1, 0
        while True:
            tree, inner, weight = self.branch(depth)
            branches.append(tree)
            product, size = max(product, inner), size + weight
            if self.peek() != "|":
                return (branches[0] if len(branches) == 1 else ("alt", branches)), product, size
            self.at += 1
            size += 1

    def branch(self, depth):
        pieces, product, size = [], 1, 0
        while self.peek() not in ("", "|", ")"):
            tree, quantifiable, inner, weight = self.atom(depth)
            if quantifiable:
                tree, inner, weight = self.quantifier(tree, inner, weight)
            pieces.append(tree)
            product, size = max(product, inner), size + weight
        return ("cat", pieces), product, size

    def quantifier(self, tree, inner, size):
        c = self.peek()
        if c == "*":
            bounds = (0, None)
        elif c == "+":
            bounds = (1, None)
        elif c == "?":
            bounds = (0, 1)
        elif c == "{":
            return self.counted(tree, inner, size)
        else:
            return tree, inner, size
        self.at += 1
        self.lazy()
        return ("repeat", tree, *bounds), inner, size

    def lazy(self):
        if self.peek() == "?":
            self.at += 1

    def count(self):
        digits = ""
        while self.peek() and self.peek() in "0123456789":
            digits += self.take()
        if not digits or len(digits) > 3 or (len(digits) > 1 and digits[0] == "0") or int(digits) > 100:
            raise BadPattern("a count is 0 to 100 without leading zeros")
        return int(digits)

    def counted(self, tree, inner, size):
        self.at += 1
        least = most = self.count()
        if self.peek() == ",":
            self.at += 1
            most = None if self.peek() == "}" else self.count()
        if self.take() != "}":
            raise BadPattern("{n}, {n,} or {n,m}")
        if most is not None and most < least:
            raise BadPattern("{n,m} with m below n")
        upper = least + 1 if most is None else most
        product = inner * max(1, upper)
        if product > 1000:
            raise BadPattern("counted repetitions multiply to more than 1,000")
        self.lazy()
        return ("repeat", tree, least, most), product, size * upper

    def single(self, ranges):
        return ("set", _fold(ranges) if self.fold else _merge(ranges))

    def atom(self, depth):
        """(tree, may a quantifier follow, largest product inside, size)"""
        c = self.take()
        if c == "(":
            if depth == 20:
                raise BadPattern("groups nest more than 20 deep")
            if self.peek() == "?":
                self.at += 1
                if self.take() != ":":
                    raise BadPattern("only (?: is known")
            tree, product, size = self.alternation(depth + 1)
            if self.take() != ")":
                raise BadPattern("unmatched (")
            return tree, True, product, 1 + size
        if c == ".":
            return ("set", _complement([(0x0A, 0x0A)])), True, 1, 1
        if c in "^$":
            return ("assert", c), False, 1, 1
        if c == "[":
            return self.char_class(), True, 1, 1
        if c == "\\":
            if self.peek() in ("b", "B"):
                return ("assert", self.take()), False, 1, 1
            return self.single(self.escape()[0]), True, 1, 1
        if c in _SPECIAL:
            raise BadPattern(f"{c} stands where no such thing can")
        return self.single([(ord(c), ord(c))]), True, 1, 1

    def escape(self):
        """(ranges, is it one character) after the backslash."""
        c = self.take()
        if c in _CONTROL:
            code = ord(_CONTROL[c])
            return [(code, code)], True
        if c.lower() in _CLASSES and c.isascii():
            ranges = _CLASSES[c.lower()]
            return (ranges if c.islower() else _complement(ranges)), False
        if c in _PUNCTUATION:
            return [(ord(c), ord(c))], True
        raise BadPattern(f"\\{c} is not known")

    def char_class(self):
        negated = self.peek() == "^"
        if negated:
            self.at += 1
        ranges, first = [], True
        while True:
            c = self.take()
            if c == "]":
                if first:
                    raise BadPattern("an empty class")
                break
            if c in "[&~":
                raise BadPattern(f"{c} in a class must be escaped")
            if c == "-":
                if not first and self.peek() != "]":
                    raise BadPattern("- in a class stands first, last or escaped")
                ranges.append((0x2D, 0x2D))
                first = False
                continue
            first = False
            item, one = self.escape() if c == "\\" else ([(ord(c), ord(c))], True)
            if one and self.peek() == "-" and self.peek(1) not in ("]", ""):
                self.at += 1
                end = self.take()
                if end in "[&~-":
                    raise BadPattern(f"{end} in a class must be escaped")
                last, one = self.escape() if end == "\\" else ([(ord(end), ord(end))], True)
                if not one or last[0][0] < item[0][0]:
                    raise BadPattern("a range of a class is of two characters in order")
                item = [(item[0][0], last[0][0])]
            ranges += item
        ranges = _fold(ranges) if self.fold else _merge(ranges)
        return ("set", _complement(ranges) if negated else ranges)


class _States:
    """A Thompson automaton: ("set", ranges, next) ("assert", kind, next) ("fork", [next..]) ("end",)"""

    def __init__(self):
        self.states = []

    def add(self, state):
        self.states.append(state)
        return len(self.states) - 1

    def build(self, tree, after):
        """The entry state of `tree` followed by state `after`."""
        kind = tree[0]
        if kind in ("set", "assert"):
            return self.add((kind, tree[1], after))
        if kind == "cat":
            for piece in reversed(tree[1]):
                after = self.build(piece, after)
            return after
        if kind == "alt":
            return self.add(("fork", [self.build(branch, after) for branch in tree[1]]))
        _, inner, least, most = tree
        if most is None:
            loop = self.add(("fork", [after]))
            self.states[loop][1].append(self.build(inner, loop))
            entry = loop
        else:
            entry = after
            for _ in range(most - least):
                entry = self.add(("fork", [after, self.build(inner, entry)]))
        for _ in range(least):
            entry = self.build(inner, entry)
        return entry


def _is_word(c: str) -> bool:
    return c != "" and (("a" <= c <= "z") or ("A" <= c <= "Z") or ("0" <= c <= "9") or c == "_")


class Pattern:
    """A compiled pattern. Raises BadPattern for what the contract refuses."""

    def __init__(self, text: str):
        if not 1 <= len(text.encode("utf-8")) <= 1000:
            raise BadPattern("a pattern is 1 to 1,000 bytes")
        automaton = _States()
        end = automaton.add(("end",))
        self._start = automaton.build(_Parser(text).whole(), end)
        self._states = automaton.states
        self._closures = {}
        self._steps = {}

    def _closure(self, kernel, before, after):
        """(consuming states, is the end among them) reachable from `kernel` without a character."""
        holds = {
            "^": before == "start",
            "$": after == "end",
            "b": (before == "word") != (after == "word"),
            "B": (before == "word") == (after == "word"),
        }
        seen, todo, consuming, ended = set(), list(kernel), [], False
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            state = self._states[index]
            if state[0] == "end":
                ended = True
            elif state[0] == "set":
                consuming.append(index)
            elif state[0] == "fork":
                todo += state[1]
            elif holds[state[1]]:
                todo.append(state[2])
        return tuple(sorted(consuming)), ended

    def _step(self, consuming, c):
        code = ord(c)
        kernel = {self._start}
        for index in consuming:
            _, ranges, after = self._states[index]
            if any(low <= code <= high for low, high in ranges):
                kernel.add(after)
        return frozenset(kernel)

    def found_in(self, text: str) -> bool:
        kernel = frozenset((self._start,))
        before = "start"
        for at in range(len(text) + 1):
            c = text[at] if at < len(text) else ""
            after = "end" if c == "" else ("word" if _is_word(c) else "other")
            key = (kernel, before, after)
            closure = self._closures.get(key)
            if closure is None:
                closure = self._closures[key] = self._closure(kernel, before, after)
            consuming, ended = closure
            if ended:
                return True
            if c == "":
                return False
            step = (consuming, c)
            kernel = self._steps.get(step)
            if kernel is None:
                kernel = self._steps[step] = self._step(consuming, c)
            before = after
        return False
