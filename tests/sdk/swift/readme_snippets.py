#!/usr/bin/env python3
"""Writes the programs that bindings/swift/README.md shows as targets of a package: readme_snippets.py README.md SOURCES

The first is the five lines, against the server of EVENHAND_URL and EVENHAND_KEY; what is added to them is only what asks for the answers.
"""
import re
import sys
from pathlib import Path

ENDS = {
    "ReadmeClient": '\nprint(layout, await client.flush())\n',
    "ReadmeContext": '\nprint(try Engine().evaluate("checkout", context).reason.rawValue)\n',
    "ReadmeEngine": "",
}


def main() -> None:
    text, sources = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    fences = re.findall(r"^```swift\n(.*?)^```$", text, re.S | re.M)
    assert len(fences) == 4 and fences[0].startswith("// Package.swift"), f"the README shows {len(fences)} Swift blocks; this program knows four"
    assert len(fences[1].splitlines()) == 5, "the start has five lines"
    for (name, end), code in zip(ENDS.items(), fences[1:]):
        if name == "ReadmeClient":
            code, count = re.subn(r'"https://flags\.example\.com", key: "your server key"', "CommandLine.arguments[1], key: CommandLine.arguments[2]", code)
            assert count == 1, "the start names an address and a key"
        (sources / name).mkdir(parents=True, exist_ok=True)
        (sources / name / "main.swift").write_text(code + end)


if __name__ == "__main__":
    main()
