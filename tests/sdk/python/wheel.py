"""What is in the wheel, and what an index shows of it.

python wheel.py FILE.whl
"""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

MOST_BYTES = 2_000_000
PACKAGE = Path(__file__).resolve().parent.parent.parent.parent / "python"


def main() -> None:
    path = Path(sys.argv[1])
    size = path.stat().st_size
    assert size < MOST_BYTES, f"{path} has {size} bytes: a wheel stays below {MOST_BYTES}"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        sources = {
            file.relative_to(PACKAGE).as_posix()
            for file in (PACKAGE / "evenhand").rglob("*")
            if file.suffix in {".py", ".pyi", ".typed"}
        }
        inside = {name for name in names if name.startswith("evenhand/")}
        assert inside == sources | {"evenhand/_native.abi3.so"}, (
            f"the package is {inside ^ sources} off from its sources"
        )
        info = next(name for name in names if name.endswith("/METADATA"))
        folder = info.split("/")[0]
        others = {name for name in names if not name.startswith(("evenhand/", f"{folder}/"))}
        assert not others, f"nothing else is installed: {others}"
        metadata = email.message_from_bytes(wheel.read(info))
        sboms = sorted(name for name in names if name.startswith(f"{folder}/") and "sbom" in name)
        library = wheel.read("evenhand/_native.abi3.so")
    expected = {"Name": "evenhand", "Requires-Python": ">=3.10", "License-Expression": "Apache-2.0"}
    found = {name: metadata[name] for name in expected}
    assert found == expected, f"the metadata says {found}"
    needed = metadata.get_all("Requires-Dist", [])
    assert all("extra ==" in requirement for requirement in needed), f"the package has no dependencies: {needed}"
    assert metadata.get_all("Provides-Extra") == ["openfeature"], f"its extras: {metadata.get_all('Provides-Extra')}"
    assert metadata.get_payload(decode=True).decode().rstrip() == (PACKAGE / "README.md").read_text().rstrip(), (
        "the description is the README"
    )
    assert "abi3" in path.name and "cp310" in path.name, f"{path.name}: one wheel for CPython 3.10 and later"
    # No symbol table: what is shipped is stripped.
    assert b".symtab\0" not in library, "the library is not stripped"
    for text in (b"/root/", b"/home/"):
        assert library.count(text) < 50, (
            f"the library names {library.count(text)} paths below {text!r} of the machine that built it"
        )
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(path)], check=True, stdout=subprocess.DEVNULL
    )
    print(
        f"  the wheel: {size:,} bytes, {len(inside)} files and {len(sboms)} lists of what is in them; twine has nothing to say"
    )


if __name__ == "__main__":
    main()
