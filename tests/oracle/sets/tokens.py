"""`tokens.json`: override tokens, valid and not."""

from authoring import NOW, write_cases
from canonical_json import canonical
from signatures import LONGEST_TOKEN_MS, OVERRIDE_PREFIX, from_base64url, make_token, private_key, public_key, read_token, to_base64url

ENV, SOON = "production", NOW + 3_600_000


def raw(payload: str, key="qa") -> str:
    """A token over any payload text."""
    data = payload.encode("utf-8")
    return to_base64url(data) + "." + to_base64url(private_key(key).sign(OVERRIDE_PREFIX + data))


def good(env=ENV, exp=SOON, flag="checkout", variation="a", key="qa"):
    return make_token(env, exp, flag, variation, key)


def build() -> str:
    token = good()
    payload, signature = token.split(".")
    other_payload = good(variation="b").split(".")[0]
    bare = private_key("qa").sign(from_base64url(payload))
    table = [
        ("well", token, NOW, True), ("the second key", good(key="qa2"), NOW, True), ("a flag beyond ASCII", good(flag="\u65e5\u672c", variation="\u00e9"), NOW, True), ("a flag that nobody has", good(flag="nothing"), NOW, True),
        ("last millisecond", token, SOON - 1, True), ("at its end", token, SOON, False), ("long after", token, SOON + 10**12, False), ("exactly 7 days", good(exp=NOW + LONGEST_TOKEN_MS), NOW, True),
        ("a millisecond more than 7 days", good(exp=NOW + LONGEST_TOKEN_MS + 1), NOW, False), ("7 days from an earlier now", token, SOON - LONGEST_TOKEN_MS, True), ("and one more", token, SOON - LONGEST_TOKEN_MS - 1, False),
        ("far before 1970", token, -(10**15), False), ("exp before 1970", good(exp=-5), -10, True), ("exp 0", good(exp=0), -1, True), ("exp as far as it goes", good(exp=(1 << 53) - 1), NOW, False),
        ("another environment", good(env="staging"), NOW, False), ("environment in capitals", good(env="PRODUCTION"), NOW, False), ("a key that is not published", good(key="stranger"), NOW, False), ("payload of another token", other_payload + "." + signature, NOW, False),
        ("signature without the prefix", payload + "." + to_base64url(bare), NOW, False), ("signature cut", token[:-4], NOW, False), ("signature empty", payload + ".", NOW, False), ("payload empty", "." + signature, NOW, False), ("no dot", payload + signature, NOW, False),
        ("three parts", token + "." + signature, NOW, False), ("padded", payload + "." + signature + "==", NOW, False), ("blank behind", token + " ", NOW, False), ("blank before", " " + token, NOW, False), ("empty", "", NOW, False), ("a dot", ".", NOW, False),
        ("beyond ASCII", "\u00e9." + signature, NOW, False), ("payload is no JSON", raw("production"), NOW, False), ("payload is a list", raw("[]"), NOW, False), ("no exp", raw(canonical({"env": ENV, "flag": "f", "variation": "a"})), NOW, False),
        ("exp is text", raw(canonical({"env": ENV, "exp": str(SOON), "flag": "f", "variation": "a"})), NOW, False), ("exp has a fraction", raw(canonical({"env": ENV, "exp": SOON + 0.5, "flag": "f", "variation": "a"})), NOW, False),
        ("flag is a number", raw(canonical({"env": ENV, "exp": SOON, "flag": 5, "variation": "a"})), NOW, False), ("unknown field", raw(canonical({"env": ENV, "exp": SOON, "flag": "f", "variation": "a", "user": "x"})), NOW, False),
        ("flag twice", raw('{"env":"production","exp":%d,"flag":"f","flag":"g","variation":"a"}' % SOON), NOW, False),
    ]
    keys = [public_key("qa"), public_key("qa2")]
    cases = []
    for name, text, now, valid in table:
        read = read_token(text, keys, ENV, now)
        assert (read is not None) == valid, name
        flag, variation = read or (None, None)
        cases.append({"name": name, "keys": keys, "environment": ENV, "now_ms": now, "token": text, "valid": valid, "flag": flag, "variation": variation})
    return write_cases("tokens", cases)
