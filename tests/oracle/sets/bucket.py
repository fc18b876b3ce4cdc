"""`bucket.json`: units whose hash lies right at a boundary, on both sides, for every draw there is."""

from authoring import EVERYBODY, Group, bucket_entry, draws, experiment, flag, manifest, rollout, targeted, write_groups
from bucketing import bound, split
from hash_search import unit_with_hash

TOP = (1 << 32) - 1
THIRDS = [("off", 3334), ("a", 3333), ("b", 3333)]
HUNDRED = [(f"v{number:02}", 100) for number in range(100)]
UNEVEN = [("off", 1), ("a", 9998), ("b", 1)]
SHARES = (1, 2, 5, 100, 500, 1000, 2500, 3333, 5000, 6667, 9999, 10000)
SLOTS = ((0, 1), (0, 500), (333, 334), (500, 1000), (999, 1000))
GAPS = [[0, 1, "a"], [1, 2, "b"], [10, 20, "a"], [1 << 31, (1 << 31) + 1, "b"], [TOP, 1 << 32, "off"]]


def around(*edges):
    """The hashes at and right before each edge, those that exist."""
    return sorted({h for edge in edges for h in (edge - 1, edge) if 0 <= h <= TOP} | {0, 1 << 31, TOP})


def walk(group, name, flag_key, salt, hashes):
    for h in hashes:
        group.ask(f"{name}: h={h}", flag_key, {"user_id": unit_with_hash(salt, h)})


def build() -> str:
    flags, walks = {}, []
    for points in SHARES:
        key, salt = f"rollout-{points}", f"traffic-{points}"
        flags[key] = flag([rollout(points, salt=salt)])
        walks.append((key, salt, around(bound(points, 10000))))
    for first, end in SLOTS:
        key = f"layer-{first}-{end}"
        flags[key] = flag([experiment(key, layer="layer-a", slots=[[bound(first, 1000), bound(end, 1000)]])])
        walks.append((key, "layer-salt", around(bound(first, 1000), bound(end, 1000))))
    flags["layer-two-pieces"] = flag([experiment("two", layer="layer-a", slots=[[bound(2, 1000), bound(3, 1000)], [bound(7, 1000), bound(9, 1000)]])])
    walks.append(("layer-two-pieces", "layer-salt", around(*(bound(n, 1000) for n in (2, 3, 7, 9)))))
    for name, weights in (("thirds", THIRDS), ("uneven", UNEVEN)):
        flags[name] = flag([experiment(name, weights)])
        edges = [entry[0] for entry in split(weights)]
        walks.append((name, name + "-split", around(*edges)))
    values = {"off": "-", "default": "-", **{key: key for key, _ in HUNDRED}}
    flags["hundred"] = flag([experiment("hundred", HUNDRED)], values=values)
    walks.append(("hundred", "hundred-split", around(*(bound(c, 10000) for c in range(100, 10000, 100)))))
    flags["gaps"] = flag([{**experiment("gaps"), "split": draws("gaps-split", GAPS)}])
    walks.append(("gaps", "gaps-split", around(1, 2, 3, 10, 11, 20, 21, 1 << 31, (1 << 31) + 1, (1 << 31) + 2, TOP)))
    flags["traffic-of-experiment"] = flag([experiment("partial", traffic=500)])
    walks.append(("traffic-of-experiment", "partial-traffic", around(bound(500, 10000))))
    flags["traffic-nobody"] = flag([{**experiment("nobody"), "traffic": draws("nobody-traffic", [])}])
    walks.append(("traffic-nobody", "nobody-traffic", around()))
    flags["held"] = flag([experiment("guarded", holdouts=["h5"])])
    walks.append(("held", "holdout-salt", around(bound(500, 10000))))
    leaf = {"op": "in_bucket", "unit": "user_id", **draws("leaf-salt", [[5, 6], [100, 1 << 31], [TOP, 1 << 32]])}
    flags["leaf"] = flag([targeted(leaf)])
    walks.append(("leaf", "leaf-salt", around(5, 6, 100, 1 << 31, TOP)))
    flags["leaf-everybody"] = flag([targeted({**leaf, "salt": "leaf-two", "ranges": EVERYBODY})])
    walks.append(("leaf-everybody", "leaf-two", around()))
    # Basis points on both sides of each hundredth of the split, to check `bucket` itself.
    flags["points"] = flag([experiment("points")])
    walks.append(("points", "points-split", around(*(bound(c, 10000) for c in (1, 2, 3, 4999, 5000, 5001, 9998, 9999)))))
    parts = {"layers": {"layer-a": bucket_entry("layer-salt", None)}, "holdouts": {"h5": bucket_entry("holdout-salt", [[0, bound(500, 10000)]])}}
    group = Group("boundaries", manifest(flags, **parts))
    for key, salt, hashes in walks:
        walk(group, key, key, salt, hashes)
    return write_groups([group])
