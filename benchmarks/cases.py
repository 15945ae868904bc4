"""Cases of a benchmark, each measured in a process of its own, so that none pays for another's memory."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from cli.output import print_table
from reward_zoo.devices import pick_device
from reward_zoo.terminal import note

Measure = Callable[[str, int, int, torch.device], dict[str, Any]]  # case, size in pixels, batch size, device
Column = tuple[str, Callable[[dict[str, Any], dict[str, Any] | None], str]]  # head; a row and the base of its size → cell


def run_cases(
    module: str, about: str | None, cases: Sequence[str], measure: Measure, base: str, columns: Sequence[Column]
) -> None:
    """The command line of `python -m MODULE`: every case at every size, and a table with ratios to the case `base`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=list(cases), choices=cases)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one case, in this process
    given = parser.parse_args()
    device = pick_device(given.device)
    if given.alone:
        print(json.dumps(measure(given.cases[0], given.sizes[0], given.batch_size, device)))
        return
    found = []
    for size in given.sizes:
        for case in given.cases:
            note(f"{case} at {size}²")
            command = [sys.executable, "-m", module, "--alone", "--cases", case, "--sizes", str(size)]
            command += ["--batch-size", str(given.batch_size), "--device", str(device)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
            if done.returncode:
                note(f"failed ({done.returncode}): {(done.stderr.strip().splitlines() or ['killed: out of memory?'])[-1]}")
                continue
            found.append(json.loads(done.stdout.splitlines()[-1]))
    if given.json:
        print(json.dumps(found, indent=2))
        return
    bases = {row["size"]: row for row in found if row["case"] == base}
    cells = [(f"{row['size']}²", row["case"], *(cell(row, bases.get(row["size"])) for _, cell in columns)) for row in found]
    print_table(("size", "case", *(head for head, _ in columns)), cells)
