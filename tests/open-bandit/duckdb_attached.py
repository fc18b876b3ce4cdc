"""What docs/results.md promises an analyst: DuckDB attached read-only to the analytics file of a running server reads the
same counts as the rows of the CSV (expected.json).

    duckdb_attached.py ANALYTICS_FILE
"""
import json
import pathlib
import sys

import duckdb
from duckdb_extensions import import_extension

EXPECTED = json.loads((pathlib.Path(__file__).parent / "expected.json").read_text())


def main(path):
    # The extension comes from PyPI, pinned; `INSTALL sqlite` of the docs fetches the same one from DuckDB's own server.
    import_extension("sqlite_scanner")
    connection = duckdb.connect()
    connection.execute("LOAD sqlite_scanner")
    connection.execute(f"ATTACH '{path}' AS evenhand (TYPE sqlite, READ_ONLY)")

    def counts(query):
        return dict(connection.execute(query).fetchall())

    checks = 0
    clicks = 0
    for campaign in EXPECTED["campaigns"].values():
        units = {name: figures["units"] for name, figures in campaign["variations"].items()}
        clicks += sum(figures["conversions"] for figures in campaign["variations"].values())
        experiment = campaign["experiment"]
        for view in (
            f"SELECT variation_id, count(*) FROM evenhand.exposures WHERE experiment_id = '{experiment}' GROUP BY 1",
            f"SELECT variation, count(*) FROM evenhand.unit_assignments WHERE experiment = '{experiment}' GROUP BY 1",
            f"SELECT variation_id, n FROM evenhand.aggregates WHERE experiment_id = '{experiment}' AND metric = ''",
        ):
            found = counts(view)
            if found != units:
                sys.exit(f"{experiment}: the CSV has {units}, DuckDB reads {found} with: {view}")
            checks += 1
    found = counts("SELECT event_name, count(*) FROM evenhand.events WHERE event_name = 'click' GROUP BY 1")
    if found != {"click": clicks}:
        sys.exit(f"the CSV has {clicks} clicks, DuckDB reads {found}")
    print(f"DuckDB {duckdb.__version__} on the file beside the running server: {checks + 1} sets of counts agree with the CSV")


if __name__ == "__main__":
    main(sys.argv[1])
