#!/usr/bin/env python3
"""Writes the two programs that bindings/kotlin-openfeature/README.md begins with as sources: readme_snippets.py README.md DIRECTORY

They run against the server of EVENHAND_URL and EVENHAND_KEY; what is added to them is what a program has around its lines, and one that says what came out.
"""

import re
import sys
from pathlib import Path

GIVEN = '"https://flags.example.com", "SERVER_KEY"'
ASKED = 'System.getenv("EVENHAND_URL"), System.getenv("EVENHAND_KEY")'


def parts(text: str, language: str) -> tuple[str, str]:
    """Imports and lines of the only program of a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)
    assert len(found) == 1, f"the README shows {len(found)} programs in {language}; this program knows one"
    lines = found[0].splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    rest = [line for line in lines if line and line not in imports]
    assert len(rest) == 5, f"the start in {language} has {len(rest)} lines, not five"
    body = "\n".join(rest)
    assert body.count(GIVEN) == 1, f"the start in {language} names an address and a key"
    return "\n".join(imports), body.replace(GIVEN, ASKED)


def main() -> None:
    text, directory = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    imports, body = parts(text, "java")
    (directory / "JavaStart.java").write_text(
        f"package readme;\n\n{imports}\n\npublic final class JavaStart {{\n"
        f"public static void main(String[] arguments) {{\n{body}\nSystem.out.println(layout);\n}}\n}}\n"
    )
    imports, body = parts(text, "kotlin")
    (directory / "KotlinStart.kt").write_text(
        f"package readme\n\n{imports}\n\nfun main() {{\n{body}\nprintln(layout)\n}}\n"
    )


if __name__ == "__main__":
    main()
