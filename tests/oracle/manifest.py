"""A manifest read (manifest.md): refused whole, or compiled with each broken flag unsupported by itself."""

from strict_json import Fault, NotJson, Object, decode_utf8, parse, read_fields, read_integer, read_map, read_string
from expression import Expression, Reader, read_hash, read_name, read_ranges, read_salt
from flag import Flag, read_flag, read_served

MOST_BYTES, MOST_FLAGS = 64 << 20, 100_000
DEEPEST_FLAG, DEAREST_FLAG = 16, 100_000
MOST = (1 << 53) - 1
LOWER_HEX = frozenset("0123456789abcdef")


class Refused(Exception):
    """The manifest as a whole is refused."""


class Holdout:
    def __init__(self, value, reader, where):
        fields = read_fields(value, ("unit", "hash", "salt", "ranges"), ("when",), where)
        read_hash(fields["hash"], where)
        self.unit = read_name(fields["unit"], where)
        self.salt = read_salt(fields["salt"], where)
        self.ranges = read_ranges(fields["ranges"], where)
        self.when = reader.read(fields["when"], where) if "when" in fields else None


class Layer:
    def __init__(self, value, where):
        fields = read_fields(value, ("unit", "hash", "salt"), (), where)
        read_hash(fields["hash"], where)
        self.unit = read_name(fields["unit"], where)
        self.salt = read_salt(fields["salt"], where)


def read_list_entry(value, where) -> dict:
    fields = read_fields(value, ("salt", "sha256", "count"), (), where)
    read_salt(fields["salt"], where)
    digest = read_string(fields["sha256"], where)
    if len(digest) != 64 or not all(c in LOWER_HEX for c in digest):
        raise Fault(f"{where}: sha256 is 64 lower-case hex digits")
    return {"salt": fields["salt"], "sha256": digest, "count": read_integer(fields["count"], where, 0)}


class Parts:
    """What flags refer to. Each entry is compiled once, by itself; asking for a broken or absent one is a Fault of who asks."""

    def __init__(self, fields, flags, salt):
        self.obfuscation_salt = salt
        self._raw = {kind: read_map(fields[kind], kind) if kind in fields else {} for kind in ("segments", "layers", "holdouts", "lists")}
        self._done = {}
        self._flags = flags
        self.reader = Reader(self)
        self.served = {key: read_served(value) for key, value in flags.items()}

    def _get(self, kind, name, compile_entry):
        at = (kind, name)
        if at not in self._done:
            if name not in self._raw[kind]:
                raise Fault(f"no {kind} {name!r}")
            # Whoever asks while the entry is being compiled stands on a circle with it.
            self._done[at] = Fault(f"{kind} {name!r} stands on a circle")
            try:
                self._done[at] = compile_entry(self._raw[kind][name], f"{kind}.{name}")
            except Fault as fault:
                self._done[at] = fault
        if isinstance(self._done[at], Fault):
            raise Fault(f"{kind} {name!r}: {self._done[at]}")
        return self._done[at]

    def segment(self, name) -> Expression:
        return self._get("segments", name, self.reader.read)

    def layer(self, name) -> Layer:
        return self._get("layers", name, Layer)

    def holdout(self, name) -> Holdout:
        return self._get("holdouts", name, lambda value, where: Holdout(value, self.reader, where))

    def list(self, name) -> dict:
        return self._get("lists", name, read_list_entry)

    def list_names(self):
        return self._raw["lists"].keys()

    def variations_of(self, flag):
        """The variation keys of a flag, None when they can't be read. No such flag: Fault."""
        if flag not in self._flags:
            raise Fault(f"no flag {flag!r}")
        served = self.served[flag]
        return None if served is None else served.index


class Manifest:
    """`flags`: key → Flag, or None for an unsupported one; `served`: key → what an unsupported one still serves, or None."""

    def __init__(self, data: bytes):
        try:
            if len(data) > MOST_BYTES:
                raise Fault("more than 64 MiB")
            self._read(parse(decode_utf8(data)))
        except (NotJson, Fault) as error:
            raise Refused(str(error)) from error

    def _read(self, value):
        required = ("schema", "environment", "audience", "generation", "version", "issued_at_ms", "flags")
        optional = ("segments", "layers", "holdouts", "lists", "obfuscation", "meta")
        fields = read_fields(value, required, optional, "manifest")
        read_integer(fields["schema"], "schema", 1, 1)
        self.environment = read_string(fields["environment"], "environment")
        self.audience = read_string(fields["audience"], "audience")
        if self.audience not in ("server", "client"):
            raise Fault("audience is server or client")
        self.generation = read_integer(fields["generation"], "generation", 1)
        self.version = read_integer(fields["version"], "version", 1)
        self.issued_at_ms = read_integer(fields["issued_at_ms"], "issued_at_ms")
        self.obfuscation_salt = None
        if "obfuscation" in fields:
            self.obfuscation_salt = read_salt(read_fields(fields["obfuscation"], ("salt",), (), "obfuscation")["salt"], "obfuscation")
            if self.audience != "client":
                raise Fault("obfuscation stands in client manifests only")
        raw = read_map(fields["flags"], "flags")
        if len(raw) > MOST_FLAGS:
            raise Fault("more than 100,000 flags")
        parts = Parts(fields, raw, self.obfuscation_salt)
        self.parts = parts
        self.served = parts.served
        self.faults = {}
        self.flags = {}
        for key, flag in raw.items():
            try:
                if not 1 <= len(key.encode("utf-8")) <= 256 or key.startswith("$"):
                    raise Fault("a flag key is 1 to 256 bytes and does not start with $")
                self.flags[key] = read_flag(flag, parts, f"flags.{key}")
            except Fault as fault:
                self._unsupport(key, str(fault))
        for key in flags_on_circles({key: flag.refers_to for key, flag in self.flags.items() if flag}):
            self._unsupport(key, "stands on a circle")
        self._limit_depth_and_cost()

    def _unsupport(self, key, why):
        self.flags[key] = None
        self.faults[key] = why

    def unsupported(self):
        return sorted((key for key, flag in self.flags.items() if flag is None), key=lambda key: key.encode("utf-8"))

    def _limit_depth_and_cost(self):
        """From the flags that refer to none upwards."""
        depths, costs = {}, {}
        for key in in_dependency_order({key: flag.refers_to for key, flag in self.flags.items() if flag}):
            flag: Flag = self.flags[key]
            depth = 1 + max((depths.get(other, 0) for other in flag.refers_to), default=0)
            cost = flag.cost + sum(times * costs.get(other, 0) for other, times in flag.refers_to.items())
            if depth > DEEPEST_FLAG or cost > DEAREST_FLAG:
                self._unsupport(key, f"depth {depth}, cost {cost}")
            else:
                depths[key], costs[key] = depth, cost


def flags_on_circles(edges: dict) -> set:
    """Keys from which a path leads back to themselves (Tarjan's components, without recursion)."""
    order, low, on_stack, stack, found = {}, {}, set(), [], set()
    for root in edges:
        if root in order:
            continue
        work = [(root, iter(edges[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for other in following:
                if other not in edges:
                    continue
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(edges[other])))
                    break
                if other in on_stack:
                    low[node] = min(low[node], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    if len(component) > 1 or node in edges[node]:
                        found.update(component)
    return found


def in_dependency_order(edges: dict) -> list:
    """Keys of a graph without circles, each behind all it refers to."""
    done, out = set(), []
    for root in edges:
        work = [(root, iter(edges[root]))]
        while work:
            node, following = work[-1]
            if node in done:
                work.pop()
                continue
            for other in following:
                if other in edges and other not in done:
                    work.append((other, iter(edges[other])))
                    break
            else:
                done.add(node)
                out.append(node)
                work.pop()
    return out
