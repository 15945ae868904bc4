"""Start-up: how long `lasro --help` and `import reward_zoo` take beside `python -c pass`, in turns, in one run.

python benchmarks/startup.py --runs 21
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "lasro --help": ["-m", "cli", "--help"],
    "lasro distill --help": ["-m", "cli", "distill", "--help"],
    "import reward_zoo": ["-c", "import reward_zoo"],
    "reward_zoo.list_rewards()": ["-c", "import reward_zoo; reward_zoo.list_rewards()"],
}


def seconds(arguments: list[str]) -> float:
    """One run, wall clock."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - began


def measure(runs: int) -> dict[str, dict[str, float]]:
    """Median seconds of each command, and its ratio to an empty Python's; the commands take turns."""
    for arguments in COMMANDS.values():  # the first reads files from the disk
        seconds(arguments)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    empty = statistics.median(taken["python -c pass"])
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return {name: {"seconds": median, "ratio": median / empty} for name, median in medians.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    print(json.dumps(measure(parser.parse_args().runs), indent=2))
