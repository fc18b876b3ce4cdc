"""`envelope.json`: signed manifests in the order they arrive, accepted and refused."""

from authoring import experiment, flag, manifest, write_cases
from canonical_json import canonical
from signatures import Holder, from_base64url, public_key, sign, signed_part, to_base64url

# Order of Ed25519's base point: S + L verifies under a careless verifier.
L = 2**252 + 27742317777372353535851937790883648493
KEYS = {"k1": "one", "k2": "two"}


def config(version=1, generation=1, **more):
    return {**manifest({"f": flag([experiment()])}), "version": version, "generation": generation, **more}


def envelope(body, key_id="k1", key=None, manifest_text=None, signed_more=None, after=None, audit_head=None, **more) -> str:
    """`signed_more` changes `signed` before it is signed, `after` behind the signer's back."""
    text = canonical(body) if manifest_text is None else manifest_text
    signed = {**signed_part(body, text, key_id, audit_head), **(signed_more or {})}
    signature = sign(signed, key or KEYS.get(key_id, "stranger"))
    signed.update(after or {})
    rest = canonical({"signature": signature, "signed": signed, **more})
    return '{"manifest":' + text + "," + rest[1:]


def with_signature(text, change):
    start = text.index('"signature":"') + len('"signature":"')
    end = text.index('"', start)
    return text[:start] + change(text[start:end]) + text[end:]


def plus_order(signature):
    raw = from_base64url(signature)
    s = int.from_bytes(raw[32:], "little") + L
    return to_base64url(raw[:32] + s.to_bytes(32, "little"))


def last_bits(signature):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) | 1]


def flipped(signature):
    return to_base64url(bytes([from_base64url(signature)[0] ^ 1]) + from_base64url(signature)[1:])


ONE = envelope(config())
# (name, key ids given, [(text, accepted)])
SEQUENCES = [
    ("well", "k1", [(ONE, True)]), ("the other of two keys", "k1 k2", [(envelope(config(), "k2"), True)]), ("audit head", "k1", [(envelope(config(), audit_head="ab" * 32), True)]),
    ("key id unknown", "k2", [(ONE, False)]), ("signed by another key", "k1 k2", [(envelope(config(), "k1", "two"), False)]), ("key id of another key", "k1 k2", [(envelope(config(), after={"key_id": "k2"}), False)]),
    ("signature changed", "k1", [(with_signature(ONE, flipped), False)]), ("signature empty", "k1", [(with_signature(ONE, lambda s: ""), False)]), ("signature cut", "k1", [(with_signature(ONE, lambda s: s[:-4]), False)]),
    ("signature padded", "k1", [(with_signature(ONE, lambda s: s + "=="), False)]), ("signature with S + L", "k1", [(with_signature(ONE, plus_order), False)]),
    ("signature with unused bits set", "k1", [(with_signature(ONE, last_bits), False)]), ("signature not base64url", "k1", [(with_signature(ONE, lambda s: "+" + s[1:]), False)]),
    ("manifest changed", "k1", [(ONE.replace('"default!"', '"changed!"'), False)]), ("blank added to the manifest", "k1", [(ONE.replace('{"audience"', '{ "audience"', 1), False)]),
    ("manifest with blanks, hashed as it stands", "k1", [(envelope(config(), manifest_text=canonical(config()).replace(",", " ,\n ")), True)]),
    ("envelope with blanks", "k1", [("\n" + ONE.replace('"signed":{', '"signed" : { ').replace(',"signature"', ' , "signature"') + "\n", True)]),
    ("signed in another order", "k1", [(ONE.replace('"signed":{', '"signed":{"version":1,').replace(',"version":1}}', "}}"), True)]),
    ("content hash of something else", "k1", [(envelope(config(), signed_more={"content_hash": "ab" * 32}), False)]), ("content hash in capitals", "k1", [(envelope(config(), signed_more={"content_hash": "AB" * 32}), False)]),
    ("environment differs", "k1", [(envelope(config(), signed_more={"environment": "staging"}), False)]), ("audience differs", "k1", [(envelope(config(), signed_more={"audience": "client"}), False)]),
    ("generation differs", "k1", [(envelope(config(), signed_more={"generation": 2}), False)]), ("version differs", "k1", [(envelope(config(), signed_more={"version": 2}), False)]),
    ("issued differs", "k1", [(envelope(config(), signed_more={"issued_at_ms": 5}), False)]), ("signed changed afterwards", "k1", [(envelope(config(), after={"audit_head": "ff"}), False)]),
    ("a manifest that is refused", "k1", [(ONE, True), (envelope(config(2, schema=2)), False), (envelope(config(3)), True)]), ("a flag that does not compile", "k1", [(envelope(config(flags={"f": {"colour": 1}})), True)]),
    ("unknown field beside", "k1", [(ONE[:-1] + ',"extra":1}', False)]), ("unknown field in signed", "k1", [(envelope(config(), signed_more={"extra": 1}), False)]),
    ("no signature", "k1", [('{"manifest":' + canonical(config()) + "}", False)]), ("bare manifest though keys are given", "k1", [(canonical(config()), False)]), ("bare manifest without keys", "", [(canonical(config()), True)]),
    ("envelope without keys", "", [(ONE, True)]), ("not JSON", "k1", [(ONE[:-1], False), ("", False), ("null", False), (ONE, True)]), ("manifest twice", "k1", [(ONE[:-1] + ',"manifest":' + canonical(config()) + "}", False)]),
    ("versions rise", "k1", [(envelope(config(version)), True) for version in (1, 2, 10, 11)]),
    ("a lower version", "k1", [(envelope(config(5)), True), (envelope(config(4)), False), (envelope(config(6)), True), (envelope(config(5)), False)]),
    ("the same again", "k1", [(envelope(config(5)), True), (envelope(config(5)), True)]), ("the same under another key", "k1 k2", [(envelope(config(5)), True), (envelope(config(5), "k2"), True)]),
    ("the same version with another content", "k1", [(envelope(config(5)), True), (envelope(config(5, flags={})), False), (envelope(config(6, flags={})), True)]),
    ("a generation rises, the version falls", "k1", [(envelope(config(9)), True), (envelope(config(1, 2)), True), (envelope(config(10, 1)), False), (envelope(config(2, 2)), True)]),
    ("refused ones leave the last good", "k1", [(envelope(config(3)), True), (with_signature(envelope(config(4)), flipped), False), (envelope(config(2)), False), (envelope(config(4)), True)]),
    ("version numbers at their edge", "k1", [(envelope(config((1 << 53) - 2)), True), (envelope(config((1 << 53) - 1)), True), (envelope(config(1, (1 << 53) - 1)), True)]),
]


def build() -> str:
    cases = []
    for name, key_ids, sequence in SEQUENCES:
        keys = {key_id: public_key(KEYS[key_id]) for key_id in key_ids.split()}
        holder, deliveries = Holder(keys), []
        for text, accepted in sequence:
            assert holder.deliver(text) == accepted, (name, text)
            held = holder.manifest
            deliveries.append({"text": text, "accepted": accepted, "generation": held.generation if held else None, "version": held.version if held else None})
        cases.append({"name": name, "keys": keys, "deliveries": deliveries})
    return write_cases("envelope", cases)
