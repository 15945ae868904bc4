"""What does it bring to ask the reward while the next batch is painted, and to ask it in processes of its own?

    python -m benchmarks.labelling --samples 1000

Labels the same samples of tiny-signs by a plain loop (roll out, decode, ask, write), with the reward asked in a thread beside,
by a stand-in that waits as long as the reward takes (as if it were on another machine), by reward workers, and by several
processes that share the batches, each with one thread; checks that the stores are equal, byte for byte. Models and workers
are loaded before the clock starts. Of the plain loop it prints what each stage took and how much of the cores it kept busy:
that bounds what any overlap can win.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import reward_zoo
from cli.output import print_json, print_table
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.prompts import load_prompts
from reward_zoo import Reward, RewardInputs, Scores
from reward_zoo.devices import cpu_threads
from reward_zoo.terminal import note
from reward_zoo.workers import in_workers, reward_workers
from surrogate.config import DistillConfig
from surrogate.labelling import Batch, Painted, RewardMeter, batches_to_do, judge, label
from surrogate.labels import label_jobs
from surrogate.pipeline import AHEAD
from surrogate.store import LabelledStore

PLAIN, AT_ONCE, ELSEWHERE = "plain loop", "plain loop, a batch decoded at once", "as if the reward were on another machine"
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
    generator: SDXLGenerator,
    meter: RewardMeter,
    batches: Sequence[Batch],
    store: LabelledStore,
    *,
    extra_steps: int,
    clock: Clock,
    at_once: bool = False,
) -> None:
    """One stage after the other; `at_once`: a batch decoded as a whole, not in parts that fit the caches."""
    decode = torch.no_grad()(generator.decode_with_gradient) if at_once else generator.decode
    for batch in batches:
        rollout = clock("roll out", lambda batch=batch: batch.rollout(generator, extra_steps))
        latents = torch.cat(list(rollout.stages.values()))
        images = clock("decode", lambda latents=latents: decode(latents))
        painted = Painted(rollout, latents, images)
        labelled = clock("reward", lambda painted=painted: judge(meter, painted))
        clock("write", lambda batch=batch, labelled=labelled: store.put(batch.shard, *labelled))


class Elsewhere(Reward):
    """A reward as if on another machine: knows the answers, and gives them as late as the real one does here."""

    elsewhere = True

    def __init__(self, reward: Reward, seconds_an_image: float) -> None:
        self.reward, self.card, self.seconds, self.known = reward, reward.card, seconds_an_image, {}

    def score(self, inputs: RewardInputs) -> Scores:
        """What was found when it was asked for the first time, of a whole batch."""
        key = hashlib.sha256(inputs.images.numpy().tobytes()).hexdigest()
        if key in self.known:
            time.sleep(self.seconds * len(inputs.images))
        else:
            self.known[key] = self.reward.score(inputs)
        return self.known[key]


def member(pipe: Connection, folder: Path, reward: str, jobs: list[tuple[str, int]], extra_steps: int, share: slice) -> None:
    """A process of several that share the batches, as under `--engine accelerate`; it says when it is ready, and when done."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    generator, meter = load_generator("tiny-signs", "cpu"), RewardMeter(reward_zoo.load(reward))
    generator.encode(sorted({prompt for prompt, _ in jobs}))
    warm = new_store(folder / f"warm {share.start}")
    label(generator, meter, batches_to_do(warm, jobs[:8], 8), warm, extra_steps=extra_steps)
    store = LabelledStore.open(folder / "shared")
    batches = batches_to_do(store, jobs, DistillConfig.label_batch_size)[share]
    pipe.send("ready")
    pipe.recv()
    label(generator, meter, batches, store, extra_steps=extra_steps)
    pipe.send("done")


def shared(count: int, folder: Path, reward: str, jobs: list[tuple[str, int]], extra_steps: int) -> float:
    """Seconds that `count` processes of one thread take, each for its share of the batches."""
    context, pipes = multiprocessing.get_context("spawn"), []
    new_store(folder / "shared")
    for rank in range(count):
        mine, theirs = context.Pipe()
        given = (theirs, folder, reward, jobs, extra_steps, slice(rank, None, count))
        context.Process(target=member, args=given, daemon=True).start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    for pipe in pipes:
        pipe.recv()
    return time.perf_counter() - began


def files(folder: Path) -> dict[str, bytes]:
    """A store's files and what is in them."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def main() -> None:
    """Label in every way, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--reward", default="ocr")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--extra-steps", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    generator = load_generator("tiny-signs", "cpu")
    config = DistillConfig(samples=given.samples, extra_steps=given.extra_steps)
    jobs, extra = label_jobs(load_prompts("signs-train"), config), given.extra_steps
    images = len(jobs) * config.stages
    generator.encode(sorted({prompt for prompt, _ in jobs}))
    clocks, far = {PLAIN: Clock(), AT_ONCE: Clock()}, Elsewhere(reward_zoo.load(given.reward), 0.0)
    ways = {
        PLAIN: 0,
        AT_ONCE: 0,
        "reward in a thread beside": 0,
        ELSEWHERE: 0,
        **{f"--reward-workers {n}": n for n in given.workers},
    }
    seconds, stores = {}, {}
    with tempfile.TemporaryDirectory() as place:
        for way, count in ways.items():
            with reward_workers(count) as workers:
                reward = {PLAIN: far, ELSEWHERE: far}.get(way) or in_workers(given.reward, workers)
                warm, store, meter = new_store(Path(place) / f"warm {way}"), new_store(Path(place) / way), RewardMeter(reward)
                label(generator, meter, batches_to_do(warm, jobs[:8], 8), warm, extra_steps=extra)
                far.seconds = clocks[PLAIN].wall["reward"] / images
                note(f"{way}: {images} images")
                todo, began = batches_to_do(store, jobs, config.label_batch_size), time.perf_counter()
                if way in clocks:
                    how = {"clock": clocks[way], "at_once": way == AT_ONCE}
                    plain_loop(generator, meter, todo, store, extra_steps=extra, **how)
                else:
                    label(generator, meter, todo, store, extra_steps=extra, ahead=AHEAD)
                seconds[way], stores[way] = time.perf_counter() - began, files(store.folder)
        way = f"{given.processes} processes share the batches"
        note(f"{way}: {images} images")
        seconds[way] = shared(given.processes, Path(place), given.reward, jobs, extra)
        stores[way] = files(Path(place) / "shared")
    found = [
        {
            "way": way,
            "seconds": took,
            "images_a_second": images / took,
            "ratio": took / seconds[PLAIN],
            "equal": stores[way] == stores[PLAIN],
        }
        for way, took in seconds.items()
    ]
    clock, cores = clocks[PLAIN], cpu_threads()
    busy = sum(clock.cpu.values()) / sum(clock.wall.values()) / cores
    if given.json:
        print_json({"ways": found, "seconds": clock.wall, "processor_seconds": clock.cpu, "busy": busy})
        return
    print_table(
        ("", "seconds", "images/s", "of the plain loop", "equal store"),
        [
            (one["way"], f"{one['seconds']:.1f}", f"{one['images_a_second']:.0f}", f"{one['ratio']:.2f}", one["equal"])
            for one in found
        ],
    )
    print_table(
        ("plain loop", "seconds", "cores busy"),
        [(stage, f"{clock.wall[stage]:.1f}", f"{clock.cpu[stage] / clock.wall[stage]:.2f}") for stage in STAGES],
    )
    print(f"The plain loop keeps {busy:.0%} of {cores} cores busy.")


def new_store(folder: Path) -> LabelledStore:
    """An empty one."""
    return LabelledStore.create(folder, generator="tiny-signs", reward="ocr", latent_space={})


if __name__ == "__main__":
    main()
