"""`lasro label --engine ray`: the labelling step as a map over batches of prompts with Ray Data, on one machine or many.

Each worker loads generator and reward by itself. The process that drives them alone writes, a batch at a time: a worker that
dies loses no row, because Ray gives its batch to another, and doubles none, because a shard is written once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Any

from reward_zoo import Reward
from reward_zoo.errors import LasroError, first_line
from surrogate.errors import EngineError
from surrogate.labelling import Batch, RewardMeter, judge, paint
from surrogate.store import Label, LabelledStore
from surrogate.types import Generator

Load = Callable[[], tuple[Generator, Reward]]
RESTARTS = 3  # of a worker, and attempts at a batch


class Labeller:
    """In a Ray worker: labels one batch a call. Mistakes travel as rows, so that the driver can say them in one line."""

    def __init__(self, load: Load, extra_steps: int) -> None:
        self.load, self.extra_steps = load, extra_steps
        self.generator: Generator | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One batch's shard."""
        from safetensors.torch import save

        try:
            if self.generator is None:
                self.generator, reward = self.load()
                self.meter = RewardMeter(reward)
            batch = Batch(int(row["shard"]), [(prompt, seed) for prompt, seed in json.loads(row["jobs"])])
            painted = paint(self.generator, batch.rollout(self.generator, self.extra_steps))
            latents, labels = judge(self.meter, painted)
        except LasroError as error:
            return {"shard": row["shard"], "latents": b"", "labels": "", "error": f"{error}"}
        answer = {"latents": save({"latents": latents.half()}), "labels": json.dumps([asdict(label) for label in labels])}
        return {"shard": row["shard"], **answer, "error": ""}


def label_on_ray(
    load: Load,
    batches: Sequence[Batch],
    store: LabelledStore,
    *,
    extra_steps: int = 0,
    device: str = "auto",
    progress: Callable[[int], None] = lambda jobs: None,
) -> int:
    """Label batches on the Ray cluster that `RAY_ADDRESS` names or that runs here, else on this machine; the reward calls.

    Args:
        load: generator and reward, in each worker.
        batches: what is to be done; order does not matter.
        store: where this process writes.
        extra_steps: see `label`.
        device: as `load` understands it. A worker for each GPU of the cluster, where it has some and they are not forbidden;
            else one for each CPU.
        progress: told how many jobs are done by each shard that is written.

    Raises:
        EngineError: Ray is not installed, a worker died too often, or a mistake in one, in its words.
    """
    from safetensors.torch import load as read

    todo, calls = {batch.shard: len(batch.jobs) for batch in batches}, 0
    with redirect_stdout(sys.stderr):  # Ray speaks there, and stdout is data
        for row in _rows(Labeller, (load, extra_steps), batches, device):
            if row["error"]:
                raise EngineError(row["error"])
            if jobs := todo.pop(int(row["shard"]), 0):
                labels = [Label(**label) for label in json.loads(row["labels"])]
                store.put(int(row["shard"]), read(row["latents"])["latents"], labels)
                calls += len(labels)
                progress(jobs)
    if todo:
        raise EngineError(f"--engine ray: {len(todo)} batches did not come back; run the same command with --resume")
    return calls


def _rows(
    worker: type[Labeller], arguments: tuple[Any, ...], batches: Sequence[Batch], device: str
) -> Iterator[dict[str, Any]]:
    """What the workers answer, as it comes."""
    ray, started = check_ray(), False
    if not batches:
        return
    try:
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
            started = True
        ray.data.DataContext.get_current().enable_progress_bars = False
        there = ray.cluster_resources()
        kind = "GPU" if device.startswith(("auto", "cuda")) and there.get("GPU", 0) else "CPU"
        items = [{"shard": batch.shard, "jobs": json.dumps(batch.jobs)} for batch in batches]
        found = ray.data.from_items(items, override_num_blocks=len(items)).map(
            worker,
            fn_constructor_args=arguments,
            concurrency=(1, max(1, min(int(there.get(kind, 0)), len(items)))),
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
            **{f"num_{kind.lower()}s": 1},
        )
        yield from found.iter_rows()
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise EngineError(f"--engine ray: {first_line(error)}; what is written stands: go on with --resume") from error
    finally:
        if started:
            ray.shutdown()


def check_ray() -> Any:  # noqa: ANN401 - the module
    """Ray, with its data sets.

    Raises:
        EngineError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(f"--engine ray: {first_line(error)}; pip install 'lasro[ray]'") from error
    return ray
