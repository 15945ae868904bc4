"""Cases of a benchmark, each measured so that none pays for another's memory."""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from cli.output import print_table
from reward_zoo.devices import pick_device
from reward_zoo.terminal import note
from surrogate.runs.environment import machine

Measure = Callable[[str, int, int, torch.device], dict[str, Any]]  # case, size in pixels, batch size, device
Column = tuple[str, Callable[[dict[str, Any], dict[str, Any] | None], str]]  # head; a row and the base of its size → cell


def _measured(measure: Measure, case: str, size: int, batch_size: int, device: torch.device) -> dict[str, Any]:
    """Where a device's peak can be reset, in this process; else in one of its own, forked with all that is imported."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        row = measure(case, size, batch_size, device)
    else:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            row = pool.submit(measure, case, size, batch_size, device).result()
    return {**row, "machine": machine(device)}


def run_cases(about: str | None, cases: Sequence[str], measure: Measure, base: str, columns: Sequence[Column]) -> None:
    """The command line of a benchmark: every case at every size, and a table with ratios to the case `base`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=list(cases), choices=cases)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found, device = [], pick_device(given.device)
    for size in given.sizes:
        for case in given.cases:
            note(f"{case} at {size}²")
            try:
                found.append(_measured(measure, case, size, given.batch_size, device))
                note(json.dumps(found[-1]))
            except BrokenProcessPool:
                note("failed: the process was killed; out of memory?")
            except Exception as error:
                note(f"failed: {type(error).__name__}: {error}".splitlines()[0])
    if given.json:
        print(json.dumps(found, indent=2))
        return
    bases = {row["size"]: row for row in found if row["case"] == base}
    cells = [(f"{row['size']}²", row["case"], *(cell(row, bases.get(row["size"])) for _, cell in columns)) for row in found]
    print_table(("size", "case", *(head for head, _ in columns)), cells)
