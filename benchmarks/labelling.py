"""What does it bring to ask the reward while the next batch is painted, and to ask it in processes of its own?

    python -m benchmarks.labelling --samples 1000

Labels the same samples of tiny-signs by a plain loop (roll out, decode, ask, write), with the reward asked in a thread beside,
and with reward workers; checks that the stores are equal, byte for byte. Models and workers are loaded before the
clock starts. Of the plain loop it prints what each stage took and how much of the cores it kept busy: that bounds what any
overlap can win.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cli.output import note, print_json, print_table
from cli.wiring import label_jobs
from finetune.generators.pipeline import load_generator
from finetune.prompts import load_prompts
from reward_zoo.devices import cpu_threads
from reward_zoo.workers import RewardWorkers, in_workers
from surrogate.config import DistillConfig
from surrogate.labelling import Batch, RewardMeter, batches_to_do, judge, label, paint
from surrogate.store import LabelledStore

STAGES = ("roll out", "decode", "reward", "write")


class Clock:
    """Seconds, and processor seconds of this process, by stage."""

    def __init__(self) -> None:
        self.wall, self.cpu = dict.fromkeys(STAGES, 0.0), dict.fromkeys(STAGES, 0.0)

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the work gives
        """The work, timed."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.wall[stage] += time.perf_counter() - wall
        self.cpu[stage] += time.process_time() - cpu
        return found


def plain_loop(
    generator: Any,  # noqa: ANN401 - an SDXLGenerator
    meter: RewardMeter,
    batches: Sequence[Batch],
    store: LabelledStore,
    extra_steps: int,
    clock: Clock,
) -> None:
    """One stage after the other."""
    for batch in batches:
        rollout = clock("roll out", lambda batch=batch: batch.rollout(generator, extra_steps))
        painted = clock("decode", lambda rollout=rollout: paint(generator, rollout))
        labelled = clock("reward", lambda painted=painted: judge(meter, painted))
        clock("write", lambda batch=batch, labelled=labelled: store.put(batch.shard, *labelled))


def files(folder: Path) -> dict[str, bytes]:
    """A store's files and what is in them."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def main() -> None:
    """Label in every way, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--reward", default="ocr")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--extra-steps", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    generator = load_generator("tiny-signs", "cpu")
    config = DistillConfig(samples=given.samples, extra_steps=given.extra_steps)
    jobs = label_jobs(load_prompts("signs-train"), config)
    generator.encode(sorted({prompt for prompt, _ in jobs}))
    clock, rows, stores = Clock(), [], []
    with tempfile.TemporaryDirectory() as place:
        for name, count in (("plain loop", None), ("overlap", 0), *((f"{n} reward workers", n) for n in given.workers)):
            workers = RewardWorkers(count) if count else None
            reward = in_workers(given.reward, workers)
            warm = batches_to_do(_store(Path(place) / f"warm {name}"), jobs[:8], 8)
            label(generator, RewardMeter(reward), warm, _store(Path(place) / f"warm {name}"), extra_steps=given.extra_steps)
            store = _store(Path(place) / name)
            todo, meter = batches_to_do(store, jobs, config.label_batch_size), RewardMeter(reward)
            note(f"{name}: {len(jobs) * config.stages} images")
            began = time.perf_counter()
            if count is None:
                plain_loop(generator, meter, todo, store, given.extra_steps, clock)
            else:
                label(generator, meter, todo, store, extra_steps=given.extra_steps)
            seconds = time.perf_counter() - began
            stores.append(files(store.folder))
            if workers:
                workers.close()
            rows.append({"way": name, "seconds": seconds, "images_a_second": meter.calls / seconds})
    for row, store in zip(rows, stores, strict=True):
        row |= {"ratio": row["seconds"] / rows[0]["seconds"], "equal": store == stores[0]}
    stages = [
        {"stage": stage, "seconds": clock.wall[stage], "cores_busy": clock.cpu[stage] / clock.wall[stage]} for stage in STAGES
    ]
    busy = sum(clock.cpu.values()) / sum(clock.wall.values()) / cpu_threads()
    if given.json:
        print_json({"ways": rows, "stages": stages, "busy": busy, "threads": torch.get_num_threads()})
        return
    cells = [
        (row["way"], f"{row['seconds']:.1f}", f"{row['images_a_second']:.0f}", f"{row['ratio']:.2f}", row["equal"])
        for row in rows
    ]
    print_table(("", "seconds", "images/s", "of the plain loop", "equal rows"), cells)
    print_table(
        ("plain loop", "seconds", "cores busy"),
        [(one["stage"], f"{one['seconds']:.1f}", f"{one['cores_busy']:.2f}") for one in stages],
    )
    print(f"The plain loop keeps {busy:.0%} of {cpu_threads()} cores busy.")


def _store(folder: Path) -> LabelledStore:
    return LabelledStore.create(folder, generator="tiny-signs", reward="ocr", latent_space={})


if __name__ == "__main__":
    main()
