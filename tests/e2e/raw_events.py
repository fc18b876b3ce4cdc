"""Events in and out: import, SQL, results, export, erasure, through the command line."""
from __future__ import annotations

import csv
import io
import json

from world import P, World, event, now_ms


def play(world: World) -> None:
    world.flag("price")
    for kind, key in (("conversion_rate", "buyers"), ("sum", "revenue")):
        world.api("POST", f"{P}/metrics", {"key": key, "kind": kind, "event": {"event_name": "purchase"}})
    world.api("POST", f"{P}/metrics", {"key": "path", "kind": "funnel", "event": {"event_name": "purchase"},
                                       "steps_before": [{"event_name": "visit"}, {"event_name": "visit", "filters": [{"property": "page", "equals": "cart"}]}]})
    world.experiment("price-test", "price", metrics=[{"metric": "buyers", "role": "primary"}, {"metric": "revenue", "role": "secondary"}, {"metric": "path", "role": "secondary"}])
    world.act("price-test", "start")
    world.equal(world.results("price-test")["phase"], 1, "results are there as soon as the start is answered")
    exposures = world.eventually(lambda: world.decide({"user_id": "b-0"}, "price")["price"], lambda found: found["reason"] == "SPLIT", "the experiment runs") and {
        unit: world.decide({"user_id": unit}, "price")["price"]["exposure"] for unit in [f"b-{number}" for number in range(100)]}
    start = now_ms()
    world.send([{**exposure, **event(number, "$exposure", unit, start)} for number, (unit, exposure) in enumerate(exposures.items())])

    # CSV with columns of the customer's own naming, and NDJSON.
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["id", "who", "at", "amount", "shop"])
    for number in range(60):
        writer.writerow([f"00000000-0000-7000-9000-{number:012x}", f"b-{number}", start + 1_000 + number, "12.50", "Zürich, HB"])
    (world.directory / "sales.csv").write_text(table.getvalue())
    columns = [part for pair in ("event_id=id", "user_id=who", "timestamp=at", "value=amount", "properties.shop=shop") for part in ("--column", pair)]
    said = world.cli("events", "import", str(world.directory / "sales.csv"), *columns, "--constant", "event_name=purchase")
    world.check("60" in said, "the import says how many", said)
    lines = [json.dumps(event(5_000 + number, "purchase", f"b-{60 + number}", start + 2_000, value="0.000001")) for number in range(10)]
    (world.directory / "more.ndjson").write_text("\n".join(lines) + "\n")
    world.cli("events", "import", str(world.directory / "more.ndjson"))
    world.cli("events", "import", str(world.directory / "sales.csv"), *columns, "--constant", "event_name=purchase")

    # b-0 to b-9 go the whole way; b-10 to b-14 come to the cart after they paid; b-15 to b-19 have one event for the first two steps.
    visits = [(unit, "start", 0) for unit in range(15)] + [(unit, "cart", 3_000 if 10 <= unit < 15 else 1) for unit in range(20)]
    world.send([event(6_000 + number, "visit", f"b-{unit}", start + later, properties={"page": page}) for number, (unit, page, later) in enumerate(visits)])

    def totals():
        results = world.results("price-test")
        return {metric["id"]: sum(int(arm["sum_micros"]) for arm in metric["arms"]) for metric in results["metrics"] if metric["id"] != "error"}

    world.eventually(totals, lambda found: found == {"buyers": 70_000_000, "revenue": 60 * 12_500_000 + 10, "path": 10_000_000}, "what was imported counts, and once")
    world.equal({metric["id"]: metric["kind"] for metric in world.results("price-test")["metrics"]}["path"], "proportion", "a funnel is read as a rate")
    shown = world.cli("results", "price-test")
    world.check("buyers" in shown and "treatment" in shown and "12.5" not in shown.split("buyers")[0], "results as a table", shown)
    world.equal(len(json.loads(world.cli("results", "price-test", "--json"))["variations"]), 2, "results as JSON")
    wrong = world.cli("events", "import", str(world.directory / "sales.csv"), "--constant", "event_name=purchase", fails=True)
    world.check("timestamp" in wrong and "--column" in wrong, "an import without a mapping says what is missing", wrong)
    (world.directory / "bad.ndjson").write_text(lines[0] + "\n{\"event_id\": 5}\n")
    partly = world.cli("events", "import", str(world.directory / "bad.ndjson"), fails=True)
    world.check("2" in partly and "event_id" in partly, "a bad line is named with its number", partly)

    shops = world.cli("sql", "SELECT count(*) AS n, min(value) AS least FROM events WHERE event_name = 'purchase'", "--format", "csv")
    world.equal(shops.split(), ["n,least", "70,0.000001"], "SQL over raw events")
    world.equal(world.sql("SELECT sum(value_micros), count(*) FROM unit_metrics WHERE metric = 'revenue'"), [[60 * 12_500_000 + 10, 100]], "SQL over per-unit values")
    world.equal(world.sql("SELECT sum(value_micros), count(*) FROM unit_metrics WHERE metric = 'path'"), [[10_000_000, 100]], "of a funnel too")
    for query in ("DELETE FROM events", "DELETE FROM event", "DROP TABLE event", "PRAGMA journal_mode = DELETE", "ATTACH '/tmp/x' AS x", "VACUUM INTO '/tmp/x'"):
        refused = world.cli("sql", query, fails=True)
        world.check("only queries that read" in refused, f"SQL is read-only, and says so: {query}", refused)
    world.check("no such column" in world.cli("sql", "SELECT nope FROM events", fails=True), "a mistake in SQL is explained", "")

    world.cli("events", "export", str(world.directory / "all.ndjson"))
    world.cli("events", "export", str(world.directory / "all.csv"), "--format", "csv")
    exported = [json.loads(line) for line in (world.directory / "all.ndjson").read_text().splitlines()]
    with open(world.directory / "all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    world.equal((len(exported), len(rows)), (205, 205), "every event is exported, in both formats")
    world.equal(sorted(row["event_id"] for row in rows), sorted(found["event_id"] for found in exported), "the same ones")
    world.check(any("Zürich, HB" in json.dumps(found, ensure_ascii=False) for found in exported), "with their properties", exported[-1])

    person = next(row for row in world.sql("SELECT user_id FROM events WHERE event_id = '00000000-0000-7000-9000-000000000000'"))[0]
    world.check(person != "b-0" and person.startswith("~"), "ids are stored as pseudonyms", person)
    world.cli("erase", "b-0", "--yes")
    world.eventually(totals, lambda found: found == {"buyers": 69_000_000, "revenue": 59 * 12_500_000 + 10, "path": 9_000_000}, "an erased user counts no more")
    world.equal(world.sql(f"SELECT count(*) FROM events WHERE user_id = '{person}'"), [[0]], "nor stands among the events")
    world.equal(world.sql(f"SELECT count(*) FROM exposures WHERE unit = '{person[1:]}'"), [[0]], "nor among the assignments")
    world.cli("events", "export", str(world.directory / "after.ndjson"))
    world.check(person not in (world.directory / "after.ndjson").read_text(), "nor in an export", "")
    stored = b"".join(path.read_bytes() for path in world.server.data.rglob("*") if path.is_file())
    world.check(person.encode() not in stored, "nor anywhere in the files", "")
