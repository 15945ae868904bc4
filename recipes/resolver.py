"""`python -m recipes.resolver`: does lasro with all its rewards resolve in one environment on every supported Python?

Asks uv, installs nothing, and prints the table of docs/rewards.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
SHOWN = ("torch", "transformers", "diffusers", "numpy", "timm")
PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def resolve(version: str) -> dict[str, str]:
    """Package → version, as uv resolves the extra `all-rewards` for a Python version.

    Raises:
        subprocess.CalledProcessError: it does not resolve; uv has said why on stderr.
    """
    command = ["uv", "pip", "compile", str(PROJECT), "--extra", "all-rewards", "--python-version", version]
    quiet = ["--quiet", "--no-annotate", "--no-header"]
    found = subprocess.run([*command, *quiet], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - fixed words
    return dict(line.split("==") for line in found.stdout.splitlines() if "==" in line)


def main() -> int:
    """Print a row a version; exit code 1 if one does not resolve."""
    failed = []
    print(f"| Python | packages | {' | '.join(SHOWN)} |\n|{'---|' * (len(SHOWN) + 2)}")
    for version in VERSIONS:
        try:
            packages = resolve(version)
        except subprocess.CalledProcessError:
            failed.append(version)
            continue
        print(f"| {version} | {len(packages)} | {' | '.join(packages.get(name, '–') for name in SHOWN)} |", flush=True)
    if failed:
        print(f"does not resolve on {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
