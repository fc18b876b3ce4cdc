#!/usr/bin/env python3
"""Compares the results endpoint with expected.json, figure by figure, to 1e-9. Standard library only.

  compare.py BASE_URL ADMIN_TOKEN    asks a running platform that has the demo workspace
  compare.py --self-test             shows that the comparison finds every single figure that is off
"""
import copy
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

EXPECTED = json.loads((pathlib.Path(__file__).resolve().parent / "expected.json").read_text())
TOLERANCE = 1e-9
# Differences of rates are of this size: nothing smaller is told apart from zero more finely.
SMALLEST = 1e-6
PATIENCE_SECONDS = 60
MICROS = 1_000_000
EFFECT = ("estimate", "standard_error", "lower", "upper", "p_value")


def expected_figures(campaign):
    """Everything that the endpoint must say of a campaign, flat."""
    figures = {
        "complete": True,
        "planned end reached": True,
        "units in two variations": campaign["multiple_exposure"],
        "overridden units": 0,
        "variations": 2,
        "metrics": 1,
        "confidence": 1 - EXPECTED["alpha"],
        "SRM status": "tested",
        "SRM mismatch": False,
    }
    for role in ("control", "treatment"):
        arm = campaign["variations"][EXPECTED[role]]
        figures |= {
            f"{role} units": arm["units"],
            f"{role} units of the metric": arm["units"],
            f"{role} units of the estimate": arm["units"],
            f"{role} sum in micro-units": arm["conversions"] * MICROS,
            f"{role} total": arm["conversions"],
            f"{role} value": arm["value"],
            f"{role} unit variance": arm["unit_variance"],
        }
    for method, lift in expected_lifts(campaign).items():
        for kind, effect in lift.items():
            figures |= {f"{method} {kind} {name}": effect[name] for name in EFFECT}
            figures[f"{method} {kind} significant"] = effect["p_value"] <= EXPECTED["alpha"]
    return figures | {f"SRM {name}": value for name, value in campaign["srm"].items()}


def expected_lifts(campaign):
    """Field of the answer → the lift that stands there."""
    return {"lift": campaign["sequential"], "fixed_horizon": {"absolute": campaign["absolute"], "relative": campaign["fieller"]}}


def served_figures(results):
    """The same from the answer of the endpoint. Control is known by its mark, so that ids may be keys or opaque."""
    control = next(v["id"] for v in results["variations"] if v["is_control"])
    metric = results["metrics"][0]
    figures = {
        "complete": results["complete"],
        "planned end reached": results["planned_end_reached"],
        "units in two variations": results["multiple_exposure_units"],
        "overridden units": results["overridden_units"],
        "variations": len(results["variations"]),
        # Beside the built-in guardrail, which every experiment has.
        "metrics": sum(metric.get("id") != "error" for metric in results["metrics"]),
        "confidence": metric["confidence"],
        "SRM status": results["srm"]["status"],
    }
    role_of = lambda variation: "control" if variation == control else "treatment"
    for variation in results["variations"]:
        figures[f"{role_of(variation['id'])} units"] = variation["units"]
    for arm in metric["arms"]:
        role, estimate = role_of(arm["variation_id"]), arm["estimate"] or {}
        figures |= {
            f"{role} units of the metric": arm["units"],
            f"{role} units of the estimate": estimate.get("units"),
            f"{role} sum in micro-units": int(arm["sum_micros"]),
            f"{role} total": estimate.get("total"),
            f"{role} value": estimate.get("value"),
            f"{role} unit variance": estimate.get("unit_variance"),
        }
        if role == "treatment" and arm["lift"] and arm["fixed_horizon"]:
            for method in ("lift", "fixed_horizon"):
                for kind in ("absolute", "relative"):
                    figures |= {f"{method} {kind} {name}": arm[method][kind].get(name) for name in (*EFFECT, "significant")}
    for name in ("chi_square", "degrees_of_freedom", "p_value", "mismatch"):
        figures[f"SRM {name}"] = results["srm"].get(name)
    return figures


def differences(expected, served):
    for name in sorted(expected):
        want, got = expected[name], served.get(name)
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (want, got))
        if numbers:
            exact = isinstance(want, int)
            same = got == want if exact else abs(got - want) <= TOLERANCE * max(abs(want), SMALLEST)
        else:
            same = got == want and type(got) is type(want)
        if not same:
            yield f"{name}: served {got!r}, SciPy and statsmodels say {want!r}"
    for name in sorted(set(served) - set(expected)):
        yield f"{name}: served {served[name]!r}, and nothing is expected of that name"


def fetch(base, token, experiment):
    url = f"{base.rstrip('/')}/api/environments/production/experiments/{experiment}/results"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"GET {url}: {error.code} {error.read().decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise SystemExit(f"GET {url}: {error.reason}; is the platform running?") from None


def settled(base, token, campaign):
    """The results once every impression is counted, or as they are when patience ends."""
    units = sum(arm["units"] for arm in campaign["variations"].values())
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        results = fetch(base, token, campaign["experiment"])
        counted = sum(variation["units"] for variation in results["variations"])
        if (counted >= units and results["complete"] and results["lag_events"] == 0) or time.monotonic() > until:
            return results
        time.sleep(0.25)


def compare(base, token):
    figures = wrong = 0
    for name, campaign in EXPECTED["campaigns"].items():
        expected = expected_figures(campaign)
        served = served_figures(settled(base, token, campaign))
        figures += len(expected)
        for difference in differences(expected, served):
            wrong += 1
            print(f"campaign {name}: {difference}", file=sys.stderr)
    if wrong:
        raise SystemExit(f"open-bandit: {wrong} of {figures} figures are wrong")
    print(f"open-bandit: {figures} figures of three campaigns agree with SciPy and statsmodels to {TOLERANCE:g}")


def faithful_answer(campaign):
    """An answer of the endpoint's shape with the expected figures: what the self-test spoils, one figure at a time."""
    arms = []
    for role in ("control", "treatment"):
        arm = campaign["variations"][EXPECTED[role]]
        estimate = {"units": arm["units"], "total": float(arm["conversions"]), "value": arm["value"], "unit_variance": arm["unit_variance"]}
        lifts = {
            method: {kind: {name: effect[name] for name in EFFECT} | {"significant": effect["p_value"] <= EXPECTED["alpha"]} for kind, effect in lift.items()}
            for method, lift in expected_lifts(campaign).items()
        }
        arms.append({
            "variation_id": EXPECTED[role], "units": arm["units"], "sum_micros": str(arm["conversions"] * MICROS),
            "estimate": estimate, **{method: lift if role == "treatment" else None for method, lift in lifts.items()},
        })
    return {
        "complete": True, "planned_end_reached": True, "multiple_exposure_units": 0, "overridden_units": 0,
        "srm": {"status": "tested", "mismatch": False} | campaign["srm"],
        "variations": [
            {"id": EXPECTED[role], "is_control": role == "control", "units": campaign["variations"][EXPECTED[role]]["units"]}
            for role in ("control", "treatment")
        ],
        "metrics": [{"confidence": 1 - EXPECTED["alpha"], "arms": arms}],
    }


def leaves(node, path=()):
    if isinstance(node, dict):
        for key, child in node.items():
            yield from leaves(child, (*path, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from leaves(child, (*path, index))
    elif node is not None:
        yield path, node


def spoil(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * (1 + 3e-9) if value else 1e-14
    return str(int(value) + 1) if value.isdigit() else value + "?"


def self_test():
    spoiled = 0
    for name, campaign in EXPECTED["campaigns"].items():
        answer = faithful_answer(campaign)
        expected = expected_figures(campaign)
        wrong = list(differences(expected, served_figures(answer)))
        if wrong:
            raise SystemExit(f"self-test: a faithful answer is refused: {wrong}")
        for path, value in leaves(answer):
            if path[-1] in ("id", "variation_id", "is_control"):
                continue
            broken = copy.deepcopy(answer)
            node = broken
            for step in path[:-1]:
                node = node[step]
            for replacement in (spoil(value), None):
                if replacement is None and path[-1] == "sum_micros":
                    continue
                node[path[-1]] = replacement
                if not list(differences(expected, served_figures(broken))):
                    raise SystemExit(f"self-test: campaign {name}: {path} = {replacement!r} instead of {value!r} goes unseen")
                spoiled += 1
    print(f"self-test: {spoiled} spoiled figures, all found")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 3:
        compare(*sys.argv[1:])
    else:
        raise SystemExit(__doc__)
