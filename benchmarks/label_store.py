"""A labelled store of a million rows: does memory stay flat, and is reading faster than a surrogate eats?

    python -m benchmarks.label_store --rows 1000000

Appends synthetic rows (latents 4×8×32, as tiny-signs'), opens them as training data, and draws random batches; prints the
memory above the start after each, and rows read a second against rows that one training step of the reader eats a second.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from pathlib import Path

import torch

from cli.output import print_table
from reward_zoo.terminal import note
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.sampling import prompt_batches, read_stores, split_by_prompt
from surrogate.seeding import stream
from surrogate.store import Label, LabelledStore

SHARD, ROWS_A_PROMPT, SHAPE = 192, 12, (4, 8, 32)
BATCH = {"prompts_per_batch": 24, "rows_per_prompt": 3}


class Memory:
    """Megabytes of this process above its start; `peak` watches in between, ten times a second."""

    def __init__(self) -> None:
        self.start, self.highest = _megabytes(), 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.highest = max(self.highest, _megabytes() - self.start)
            time.sleep(0.1)

    def peak(self) -> float:
        """The highest since the last call."""
        found, self.highest = max(self.highest, _megabytes() - self.start), 0.0
        return found


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def fill(store: LabelledStore, rows: int) -> None:
    """Append so many synthetic rows, a shard at a time."""
    rng = torch.Generator().manual_seed(0)
    for start in range(0, rows, SHARD):
        count = min(SHARD, rows - start)
        scores = torch.rand(count, generator=rng).tolist()
        labels = [
            Label(f'a sign that says "{row // ROWS_A_PROMPT:06d}"', row, 1 + row % 2, scores[row - start], f"{row % 9973:04d}")
            for row in range(start, start + count)
        ]
        store.append(torch.randn(count, *SHAPE, generator=rng), labels)


def main() -> None:
    """Fill, open, draw, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=300)
    given = parser.parse_args()

    from finetune.generators.pipeline import load_generator

    generator = load_generator("tiny-signs", "cpu")
    with tempfile.TemporaryDirectory() as place:
        store = LabelledStore.create(Path(place) / "store", generator="tiny-signs", reward="r", latent_space={})
        memory, found = Memory(), []
        began = time.perf_counter()
        note(f"appending {given.rows:,} rows")
        fill(store, given.rows)
        seconds = time.perf_counter() - began
        found.append(("append", f"{given.rows / seconds:,.0f} rows a second", memory.peak()))
        began = time.perf_counter()
        data = read_stores([LabelledStore.open(store.folder)])
        found.append(("open as training data", f"{time.perf_counter() - began:.1f} s", memory.peak()))
        batches = prompt_batches(data.groups, BATCH["prompts_per_batch"], 0, rows_per_prompt=BATCH["rows_per_prompt"])
        began, rows = time.perf_counter(), 0
        for chosen in itertools.islice(batches, given.batches):
            rows += len(data.rows(chosen).load())
        reading = rows / (time.perf_counter() - began)
        found.append(("draw random batches", f"{reading:,.0f} rows a second", memory.peak()))
        del data, batches
        eating = eaten(generator, store)
    print_table(("", "", "MB above the start"), [(name, speed, f"{peak:,.0f}") for name, speed, peak in found])
    print(f"A training step of the reader eats {eating:,.0f} rows a second: reading is {reading / eating:.1f} times faster.")


def eaten(generator: object, store: LabelledStore, steps: int = 20) -> float:
    """Rows a second that training a reader eats, reading included."""
    data = read_stores([store])
    data = data.rows(data.groups < 400)
    training, held_out = split_by_prompt(data, 0.1, stream(0, "split"))
    times = []
    config = DistillConfig(backbone="latent-cnn", steps=steps, **BATCH)
    train_surrogate(
        generator, training, held_out, config, margin=0.2, report=lambda record: times.append((time.perf_counter(), record))
    )
    plain = [after - before for (before, _), (after, record) in itertools.pairwise(times) if "accuracy" not in record]
    return BATCH["prompts_per_batch"] * BATCH["rows_per_prompt"] / sorted(plain)[len(plain) // 2]


if __name__ == "__main__":
    main()
