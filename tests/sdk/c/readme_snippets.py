#!/usr/bin/env python3
"""Writes what bindings/c/README.md shows as files to compile: readme_snippets.py README.md DIRECTORY

Programs become programs of their own, classes stand beside them, fragments become bodies of a function that has the names they use.
"""
import re
import sys
from pathlib import Path

CPP = """#include <iostream>
#include "client.hpp"
{classes}
void fragments(evenhand::Engine &engine, evenhand::Session &session, evenhand::Context &user, shop::Client &client);
void fragments(evenhand::Engine &engine, evenhand::Session &session, evenhand::Context &user, shop::Client &client) {{
  (void)engine; (void)session; (void)user; (void)client;
{bodies}
}}
"""
C = """#include <stdio.h>
#include <evenhand.h>
void fragments(EvenhandEngine *engine, const uint8_t *bytes, size_t len);
void fragments(EvenhandEngine *engine, const uint8_t *bytes, size_t len) {{
{bodies}
}}
"""


def main() -> None:
    text, out = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    fences = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M)
    kinds = {language for language, _ in fences}
    assert kinds == {"sh", "c", "cpp", "cmake"}, f"the README shows {kinds}: this program knows sh, c, cpp and cmake"
    classes, bodies, programs = [], {"c": [], "cpp": []}, {"c": 0, "cpp": 0}
    for language, code in fences:
        if language == "cmake":
            (out / "CMakeLists.txt").write_text(code)
        elif language in bodies and "int main(" in code:
            (out / f"program{programs[language]}.{language}").write_text(code)
            programs[language] += 1
        elif language in bodies and code.startswith("class "):
            classes.append(code)
        elif language in bodies:
            bodies[language].append(f"  {{\n{code}  }}")
    assert programs == {"c": 1, "cpp": 2} and len(bodies["cpp"]) > 5 and len(bodies["c"]) > 0 and classes, "the README has its programs and fragments"
    # "Unused" is no fault of a fragment.
    (out / "fragments.cpp").write_text('#pragma GCC diagnostic ignored "-Wunused-variable"\n' + CPP.format(classes="\n".join(classes), bodies="\n".join(bodies["cpp"])))
    (out / "fragments.c").write_text(C.format(bodies="\n".join(bodies["c"])))
    print(f"{len(fences)} code blocks")


if __name__ == "__main__":
    main()
