"""A WSGI application whose client is made before gunicorn forks; see forks.py."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from evenhand import Client

client = Client(os.environ["EVENHAND_URL"], os.environ["EVENHAND_KEY"], flush_interval_ms=3_600_000)
assert client.wait_ready(20)


def queue_in_master() -> list[str | None]:
    """Events of the master, queued when the workers are forked."""
    for number in range(20):
        client.decide("checkout", {"user_id": f"master-{number}"})
    return [client.track("purchase", {"user_id": f"master-{number}"}) for number in range(20)]


MASTER, MASTER_IDS = os.getpid(), queue_in_master()


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    who = environ["PATH_INFO"].strip("/")
    decision = client.decide("checkout", {"user_id": who})
    event_id = client.track("purchase", {"user_id": who})
    start_response("200 OK", [("Content-Type", "application/json")])
    answer = {"pid": os.getpid(), "master": MASTER, "ids": MASTER_IDS, "id": event_id, "variation": decision.variation}
    return [json.dumps(answer).encode()]
