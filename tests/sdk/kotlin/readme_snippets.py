#!/usr/bin/env python3
"""Writes what bindings/kotlin/README.md shows as files to compile: readme_snippets.py README.md DIRECTORY

Each Kotlin fence becomes a function of Snippets.kt, each Java fence a method of JavaSnippets.java; the server's address and key are those of the system
properties, so that they run against a real one.
"""
import re
import sys
from pathlib import Path

KOTLIN = """import dev.evenhand.Client
import dev.evenhand.Context
import dev.evenhand.Engine
import dev.evenhand.Logger
import dev.evenhand.MemoryStickyStore
import java.io.File
import java.math.BigDecimal
import kotlinx.coroutines.runBlocking

{functions}
fun main() = runBlocking {{
    val client = Client({url}, {key})
{calls}
    client.close()
    JavaSnippets.main()
}}
"""
JAVA = """import dev.evenhand.Client;
import java.math.BigDecimal;
import java.util.Map;

final class JavaSnippets {{
    private JavaSnippets() {{}}

    static void main() {{
{bodies}
    }}
}}
"""
URL, KEY = 'System.getProperty("evenhand.url")', 'System.getProperty("evenhand.key")'


def main() -> None:
    text, out = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)
    kotlin = [code for language, code in fences if language == "kotlin"]
    java = [code for language, code in fences if language == "java"]
    unknown = {language for language, _ in fences} - {"kotlin", "java", "sh", "xml", ""}
    assert len(kotlin) == 4 and len(java) == 1 and not unknown, f"the README shows {len(kotlin)} Kotlin and {len(java)} Java fences, and {unknown}: this program knows 4 and 1"

    def served(code: str) -> str:
        assert "your server key" in code or "https://" not in code
        return code.replace('"https://flags.example.com"', URL).replace('"your server key"', KEY)

    functions, calls = [], []
    for at, code in enumerate(kotlin):
        functions.append(f"@Suppress(\"UNUSED_VARIABLE\")\nsuspend fun snippet{at}(client: Client) {{\n{served(code)}\n    client.flags()\n}}\n" if "val client" not in code else f"@Suppress(\"UNUSED_VARIABLE\")\nsuspend fun snippet{at}() {{\n{served(code)}}}\n")
        calls.append(f"    snippet{at}({'client' if 'val client' not in code else ''})")
        if 'decide("checkout", user)' in code:
            calls.insert(-1, "    client.ready()")
    (out / "Snippets.kt").write_text(KOTLIN.format(functions="\n".join(functions), calls="\n".join(calls), url=URL, key=KEY))
    bodies = "\n".join(served(code) + "        // What is shown is used.\n" for code in java).replace("    client.track(", "    assert layout != null;\n    client.track(")
    (out / "JavaSnippets.java").write_text(JAVA.format(bodies=bodies))


if __name__ == "__main__":
    main()
