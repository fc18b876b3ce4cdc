"""What the README shows, run: its five lines, its examples, and the FastAPI shop under uvicorn, asked over HTTP.

python documented.py small|full [WORD …]
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

from served import HERE, Shop, finished, python, run

PACKAGE = HERE.parent.parent.parent / "python"
README = (PACKAGE / "README.md").read_text()


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.S)


def five_lines(shop: Shop) -> None:
    first = snippets()[0]
    shop.check(
        len([line for line in first.splitlines() if line.strip()]) <= 6, "the start has five lines and an import"
    )
    shop.check('"https://flags.example.com"' in first and '"SERVER_KEY"' in first, "address and key stand in it", first)
    before = shop.rows("purchase")
    code = first.replace("https://flags.example.com", shop.base).replace("SERVER_KEY", shop.key)
    out = finished(python("-c", code + "\nprint(decision.variation, decision.reason)"))
    shop.check(out.split()[1] == "SPLIT", "it decides", out)
    shop.eventually(lambda: shop.rows("purchase"), lambda found: found == before + 1, "its purchase arrives at its end")


def every_snippet(shop: Shop) -> str:
    """Each block runs as it stands, in one interpreter, with what the text says is there."""
    file = shop.directory / "manifest.json"
    file.write_text(shop.manifest())
    found = [code for code in snippets() if "FastAPI" not in code]
    code = "\n".join(found).replace("https://flags.example.com", shop.base).replace("SERVER_KEY", shop.key)
    finished(python("-X", "dev", "-W", "error", "-c", code, cwd=shop.directory))
    names = set(re.findall(r"`([a-z_]+)(?:\(|`)", README.split("## Engine")[1].split("**Logs**")[0]))
    script = "import evenhand, json, sys; print(json.dumps({c: dir(getattr(evenhand, c)) for c in ('Engine', 'Client', 'AsyncClient')}))"
    members = json.loads(finished(python("-c", script)))
    known = {name for names_ in members.values() for name in names_}
    options = {
        "keys",
        "environment",
        "audience",
        "stream",
        "bootstrap",
        "spool",
        "sticky_store",
        "overrides",
        "timeout",
    }
    numbers = {"poll_interval_ms", "flush_interval_ms"}
    other = {"load", "save", "evenhand"}
    shop.equal(sorted(names - known - options - numbers - other), [], "every name in the tables is there")
    return f"{len(found)} blocks, {len(names)} names"


def fastapi(shop: Shop) -> None:
    example = PACKAGE / "examples" / "fastapi_app.py"
    shown = next(code for code in snippets() if "lifespan" in code)
    told = [line for line in shown.splitlines() if line.strip()]
    shop.equal(
        [line for line in told if line not in example.read_text().splitlines()],
        [],
        "the README shows lines of the example",
    )
    units, bought = shop.units(), shop.rows("purchase")
    environment = {**os.environ, "EVENHAND_URL": shop.base, "EVENHAND_KEY": shop.key}
    command = ["-m", "uvicorn", "--app-dir", str(example.parent), "--port", "0", "fastapi_app:app"]
    server = python(*command, env=environment, stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        lines = iter(server.stderr.readline, "")
        address = next(match[0] for line in lines if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
        until = time.monotonic() + 10
        while ask("GET", f"{address}/checkout/early")["reason"] == "NOT_READY":
            shop.check(time.monotonic() < until, "the client becomes ready")
            time.sleep(0.02)
        buttons = [ask("GET", f"{address}/checkout/buyer-{number}") for number in range(40)]
        shop.equal({answer["button"] for answer in buttons}, {"a", "b"}, "both buttons are given")
        shop.equal({answer["reason"] for answer in buttons}, {"SPLIT"}, "by the experiment")
        ids = [ask("POST", f"{address}/buy/buyer-{number}?amount=9.99")["event_id"] for number in range(40)]
        shop.equal(len(set(ids)), 40, "forty purchases")
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=30)[1]
        shop.check(
            server.returncode in (0, -signal.SIGTERM) and "Traceback" not in rest,
            "it ends well",
            (server.returncode, rest),
        )
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    shop.eventually(shop.units, lambda found: found == units + 41, "its visitors are counted when it has ended")
    shop.eventually(lambda: shop.rows("purchase"), lambda found: found == bought + 40, "and their purchases")


def ask(method: str, address: str) -> dict[str, str]:
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=20) as answer:
        found: dict[str, str] = json.load(answer)
        return found


PROOFS = [
    ("the five lines of the README", five_lines),
    ("every snippet, and every name in the tables", every_snippet),
    ("the FastAPI example under uvicorn", fastapi),
]

if __name__ == "__main__":
    run("documented", PROOFS)
