"""Manifests whose exposures carry attributes (manifest.md, "Attributes of exposures"), for the session's scripts."""

import json

from authoring import bucket_entry, experiment, flag, manifest, rollout, targeted
from bucketing import bound
from canonical_json import canonical

# In UTF-16 (RFC 8785) the second of the last two comes first, in UTF-8 and by code points the first.
NAMES = ["app_version", "country", "device", "premium", "say \"\\\u0001\"", "\u00e9", "\ufb33", "\U0001f600"]

# What is no list of names, as JSON text: it counts as none.
NO_LISTS = [
    "null", "5", '"country"', "[]", '["country"]', "{}", '{"exposure_attributes":null}', '{"exposure_attributes":[]}', '{"exposure_attributes":"country"}',
    '{"exposure_attributes":{"country":true}}', '{"exposure_attributes":["country",5]}', '{"exposure_attributes":["country",null]}', '{"exposure_attributes":["country",""]}',
    '{"exposure_attributes":["country","country"]}', '{"exposure_attributes":["country","' + "\u00e9" * 128 + 'x"]}', '{"exposure_attributes":["country","\\ud800"]}',
    '{"exposure_attributes":["country"],"exposure_attributes":["country"]}', '{"exposure_attributes":["country"],"a":1,"a":1}', '{"exposure_attributes":["country"],"\\udc00":1}',
    '{"exposure_attributes":[["country"]]}', '{"Exposure_attributes":["country"]}', '{"a":{"exposure_attributes":["country"]}}',
    '{"exposure_attributes":' + json.dumps(["country", *(f"a{number}" for number in range(10))]) + "}",
]
# What is one, whatever stands beside it.
LISTS = [
    '{"exposure_attributes":["country"],"other":{"a":1,"a":2,"\\ud800":["\\udc00",1e999]}}', ' { "exposure_\\u0061ttributes" : [ "countr\\u0079" ] } ',
    '{"exposure_attributes":["country","' + "\u00e9" * 128 + '"]}', '{"exposure_attributes":' + json.dumps(["country", *(f"a{number}" for number in range(9))]) + "}",
    '{"exposure_attributes":["geo","country"]}', '{"exposure_attributes":["toString","__proto__","constructor","user_id"]}',
]


def carrying(*names) -> dict:
    return {"exposure_attributes": list(names)}


def cut(version=1, names=None) -> str:
    """An experiment in a holdout, a rollout in it, a flag of two experiments."""
    names = NAMES if names is None else names
    meta = {"meta": carrying(*names)} if names else {}
    in_lab = {"op": "str_eq", "attr": "lab", "value": "yes"}
    flags = {
        "cut": flag([experiment("cut", holdouts=["h"], **meta)], overrides={"user_id": {"forced": "a"}}),
        "device": flag([experiment("device", unit="device_id", phase=2, meta=carrying("country", "lab"))]),
        "rolled": flag([rollout(10_000, holdouts=["h"], meta=carrying("premium"))]),
        "shown": flag([targeted(holdouts=["all"], meta=carrying("country"))]),
        "two": flag([experiment("lab", weights=(("off", 5_000), ("b", 5_000)), when=in_lab, meta=carrying("lab")), experiment("rest", meta=carrying("country"))],
                    overrides={"user_id": {"forced": "b", "other": "a"}}),
        "uncut": flag([experiment("uncut")]),
    }
    holdouts = {"h": bucket_entry("hold", [[0, bound(3_000, 10_000)]], unit="account"), "all": bucket_entry("all", [[0, bound(5_000, 10_000)]])}
    return canonical({**manifest(flags, holdouts=holdouts), "version": version})


def written(metas, version=1) -> str:
    """An experiment for each `meta`, which stands as it is given."""
    flags = {f"m{number}": flag([experiment(f"m{number}", meta=f"@{number}@")]) for number in range(len(metas))}
    text = canonical({**manifest(flags), "version": version})
    for number, meta in enumerate(metas):
        text = text.replace(f'"@{number}@"', meta)
    return text


CARRYING = [cut(), written(NO_LISTS), written(LISTS), cut(2, ["country"]), cut(3, [])]
CUT, NONE_OF_THEM, ALL_OF_THEM, FEWER, NOTHING = range(11, 16)
