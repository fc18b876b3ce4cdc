"""Scripts for the attributes that exposures carry (session.md, "Exposures")."""

import random

from carrying_manifests import ALL_OF_THEM, CUT, FEWER, LISTS, NAMES, NO_LISTS, NONE_OF_THEM, NOTHING
from session_script import START, Script

VALUES = ["NZ", "", " ", "x" * 64, "x" * 65, "\u00e9" * 64, "\u00e9" * 65, "\U0001f600" * 64, "\U0001f600" * 65, "e\u0301" * 32, "e\u0301" * 33, '"\\/\b\f\n\r\t\u0000\u007f\u2028', True, False,
          0, 1, -7, 2.5, None, [], ["NZ"], {}, {"country": "NZ"}]


def carrying():
    script = Script("exposures carry attributes: strings of at most 64 characters and booleans")
    now = script.begin(CUT)
    for number, value in enumerate(VALUES):
        script.expose("cut", {"user_id": f"u{number}", "country": value, "premium": value}, now)
    for name in NAMES:
        script.expose("cut", {"user_id": "of " + name, name: name}, now)
    script.expose("cut", {"user_id": "all", **{name: "v" for name in reversed(NAMES)}}, now)
    script.expose("cut", {"user_id": "none"}, now)
    script.flush(now)
    script.next(now)
    scripts = [script]

    script = Script("geo stands in for a missing country; a unit id can be carried")
    now = script.begin(ALL_OF_THEM)
    contexts = [{"country": "NZ"}, {"geo": "US"}, {"country": "NZ", "geo": "US"}, {"country": None, "geo": "US"}, {"country": 5, "geo": "US"}, {"country": "x" * 65, "geo": "US"}]
    for number in range(len(LISTS)):
        for at, context in enumerate(contexts):
            script.expose(f"m{number}", {"user_id": f"u{at}", "toString": "a", "__proto__": "b", "constructor": "c", "a8": True, "\u00e9" * 128: "long", **context}, now)
    script.flush(now)
    script.next(now)
    scripts.append(script)

    script = Script("a meta that is no list of attributes counts as none")
    now = script.begin(NONE_OF_THEM)
    for number in range(len(NO_LISTS)):
        script.expose(f"m{number}", {"user_id": "u", "country": "NZ", "a1": "x"}, now)
    script.flush(now)
    script.next(now)
    scripts.append(script)

    script = Script("the attributes of the rule that decided, also on a holdout's exposure and a forced one")
    now = script.begin(CUT)
    rest = {"country": "NZ", "premium": True, "lab": "yes", "device": "phone"}
    for key in ("cut", "device", "rolled", "shown", "two", "uncut"):
        for user in ("u1", "u2", "u3", "forced", "other"):
            for lab in ("yes", "no"):
                script.expose(key, {**rest, "user_id": user, "device_id": "d" + user, "account": "a" + user, "lab": lab}, now)
    script.flush(now)
    script.next(now)
    scripts.append(script)

    script = Script("attributes are no part of what makes two exposures the same", {"dedupe_ttl_ms": 1_000})
    now = script.begin(CUT)
    for at, country in ((0, "NZ"), (0, "US"), (999, "DE"), (1_000, "FR"), (1_001, None)):
        script.expose("cut", {"user_id": "u", "country": country}, now + at)
    script.account(now + 1_001)
    script.update_manifest(FEWER, now + 1_002)
    script.expose("cut", {"user_id": "u", "country": "AU", "premium": True}, now + 1_003)
    script.expose("cut", {"user_id": "u", "country": "AU", "premium": True}, now + 2_003)
    script.update_manifest(NOTHING, now + 3_000)
    script.expose("cut", {"user_id": "u", "country": "AU", "premium": True}, now + 4_000)
    script.flush(now + 4_000)
    script.next(now + 4_000)
    scripts.append(script)

    script = Script("attributes count in the queue's bytes, and outlive a spool", {"queue_max_bytes": 1, "batch_max_bytes": 1})
    now = script.begin(CUT)
    for number in range(120):
        script.expose("cut", {"user_id": f"u{number}", **{name: "\u0001" * 64 for name in NAMES}}, now)
    script.account(now)
    script.spool()
    saved = script.spools[-1]
    scripts.append(script)
    later = Script("attributes restored from a spool", {}, b"\x42" * 16, START + 700_000)
    later.restore(saved, b"\x43" * 16, START + 700_001)
    later.flush(START + 700_001)
    later.next(START + 700_001)
    later.next(START + 700_001)
    scripts.append(later)

    chance = random.Random(5)
    script = Script("contexts as they come")
    now = script.begin(CUT)
    for _ in range(150):
        names = chance.sample([*NAMES, "geo", "lab"], chance.randrange(6))
        context = {"user_id": f"u{chance.randrange(400)}", "account": f"a{chance.randrange(9)}", "device_id": f"d{chance.randrange(90)}"}
        script.expose(chance.choice(("cut", "device", "rolled", "shown", "two")), {**context, **{name: chance.choice(VALUES) for name in names}}, now)
    script.flush(now)
    script.next(now)
    return [*scripts, script]
