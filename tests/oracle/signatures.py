"""Envelopes and override tokens (manifest.md): made, and judged. Ed25519 is PyPI `cryptography`'s; keys are made from fixed seeds."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from canonical_json import canonical
from manifest import Manifest, Refused
from strict_json import Fault, NotJson, members_as_text, parse, read_fields, read_integer, read_string

SIGNED = ("environment", "audience", "generation", "version", "issued_at_ms", "key_id", "content_hash", "audit_head")
MANIFEST_PREFIX, OVERRIDE_PREFIX = b"evenhand-manifest-v1\n", b"evenhand-override-v1\n"
LONGEST_TOKEN_MS = 7 * 86_400_000
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Raises Fault for padding, other characters and unused bits that are not zero."""
    if not all(c in _ALPHABET for c in text) or len(text) % 4 == 1:
        raise Fault("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise Fault("unused bits are not zero")
    return data


def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(("oracle key " + name).encode()).digest())


def public_key(name: str) -> str:
    return to_base64url(private_key(name).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def verify(key: str, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(from_base64url(key)).verify(signature, message)
        return True
    except InvalidSignature:
        return False


def signed_part(manifest: dict, manifest_text: str, key_id: str, audit_head=None) -> dict:
    own = {name: manifest[name] for name in ("environment", "audience", "generation", "version", "issued_at_ms")}
    return {**own, "key_id": key_id, "content_hash": hashlib.sha256(manifest_text.encode("utf-8")).hexdigest(), "audit_head": audit_head}


def sign(signed: dict, key: str) -> str:
    return to_base64url(private_key(key).sign(MANIFEST_PREFIX + canonical(signed).encode("utf-8")))


class Holder:
    """An engine's manifest as envelopes arrive. `keys`: key id → public key."""

    def __init__(self, keys: dict):
        self.keys = keys
        self.manifest = None
        self.content_hash = None

    def deliver(self, text: str) -> bool:
        try:
            manifest, content_hash = self._judge(text)
        except (Refused, Fault, NotJson):
            return False
        held = self.manifest
        if held is not None and (held.environment, held.audience) == (manifest.environment, manifest.audience):
            before, now = (held.generation, held.version), (manifest.generation, manifest.version)
            if now < before or (now == before and content_hash != self.content_hash):
                return False
        self.manifest, self.content_hash = manifest, content_hash
        return True

    def _judge(self, text):
        envelope = parse(text)
        if not self.keys and "signed" not in {name for name, _ in getattr(envelope, "pairs", ())}:
            return Manifest(text.encode("utf-8")), None
        fields = read_fields(envelope, ("manifest", "signed", "signature"), (), "envelope")
        manifest_text = members_as_text(text)["manifest"]
        content_hash = hashlib.sha256(manifest_text.encode("utf-8")).hexdigest()
        if self.keys:
            self._check_signature(fields, content_hash)
        manifest = Manifest(manifest_text.encode("utf-8"))
        if self.keys:
            signed = dict(fields["signed"].pairs)
            for name in ("environment", "audience"):
                if signed[name] != getattr(manifest, name):
                    raise Refused(name)
            for name in ("generation", "version", "issued_at_ms"):
                if read_integer(signed[name]) != getattr(manifest, name):
                    raise Refused(name)
        return manifest, content_hash

    def _check_signature(self, fields, content_hash):
        signed = read_fields(fields["signed"], SIGNED, (), "signed")
        key = self.keys.get(read_string(signed["key_id"]))
        if key is None:
            raise Refused("key id unknown")
        message = MANIFEST_PREFIX + canonical(fields["signed"]).encode("utf-8")
        if not verify(key, from_base64url(read_string(fields["signature"])), message):
            raise Refused("signature wrong")
        if signed["content_hash"] != content_hash:
            raise Refused("hash wrong")


def make_token(env, exp, flag, variation, key) -> str:
    payload = canonical({"env": env, "exp": exp, "flag": flag, "variation": variation}).encode("utf-8")
    return to_base64url(payload) + "." + to_base64url(private_key(key).sign(OVERRIDE_PREFIX + payload))


def read_token(token: str, keys: list, environment: str, now_ms: int):
    """(flag, variation), or None when the token is not valid."""
    try:
        first, dot, second = token.partition(".")
        payload, signature = from_base64url(first), from_base64url(second)
        if not dot or not any(verify(key, signature, OVERRIDE_PREFIX + payload) for key in keys):
            return None
        fields = read_fields(parse(payload.decode("utf-8")), ("env", "exp", "flag", "variation"))
        exp = read_integer(fields["exp"])
        if fields["env"] != environment or not now_ms < exp or exp - now_ms > LONGEST_TOKEN_MS:
            return None
        return read_string(fields["flag"]), read_string(fields["variation"])
    except (Fault, NotJson, UnicodeDecodeError):
        return None
