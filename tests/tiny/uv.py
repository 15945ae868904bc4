"""A uv that needs no network: environments see the packages of the tests, and a requirement becomes a module with a version."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

PROGRAM = """#!{python}
import os, pathlib, sys, time, venv

calls = pathlib.Path({calls!r})
with calls.open("a") as file:
    file.write(" ".join(sys.argv[1:3]) + "\\n")
print("Resolved 3 packages", file=sys.stderr, flush=True)
asked = os.environ.get("FAKE_UV", "")
if sys.argv[1] == "pip" and asked == "fails":
    print("error: Failed to fetch: `https://example.org/simple/`\\n  Caused by: dns error", file=sys.stderr)
    sys.exit(2)
if sys.argv[1] == "venv":
    folder = pathlib.Path(sys.argv[-1])
    venv.create(folder, symlinks=True, with_pip=False)
    (next(folder.glob("lib/*/site-packages")) / "tests.pth").write_text({site!r})
else:
    if asked == "hangs":
        time.sleep(60)
    python, listed = (pathlib.Path(sys.argv[sys.argv.index(flag) + 1]) for flag in ("--python", "-r"))
    for line in listed.read_text().split():
        name, _, version = line.partition("==")
        if version:
            site = next(python.parents[1].glob("lib/*/site-packages"))
            (site / (name.replace("-", "_") + ".py")).write_text(f"__version__ = {{version!r}}\\n")
"""


def install(folder: Path) -> Path:
    """Put it into `folder`/bin; the file that says how it was called. `FAKE_UV=fails` and `hangs` are what it does then."""
    calls = folder / "uv-calls"
    calls.touch()
    program = folder / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, calls=str(calls), site=sysconfig.get_path("purelib")))
    program.chmod(0o755)
    return calls
