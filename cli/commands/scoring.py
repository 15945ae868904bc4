"""`lasro rewards score | calibrate | agreement` and `lasro cache info | clear`: rewards on people's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reward_zoo
from cli.output import print_json, print_table
from cli.tables import check_writable
from reward_zoo import calibration
from reward_zoo.cache import ScoreCache, cached
from reward_zoo.devices import pick_device
from reward_zoo.errors import RewardFailedError, SpecError, TableError
from reward_zoo.images import as_images
from reward_zoo.items import Item, batches, gather, inputs_of, text_of
from reward_zoo.loading import specs_within
from reward_zoo.tables import PROMPT_COLUMNS, column, read_table, write_table
from reward_zoo.terminal import note, progress

if TYPE_CHECKING:
    from reward_zoo import Reward

SCORED, SOME_FAILED = 0, 1  # exit codes


def score_command(
    images: Sequence[Path],
    *,
    rewards: Sequence[str],
    prompts: list[str] | None,
    targets: list[str] | None,
    references: list[Path] | None,
    out: Path | None,
    batch_size: int,
    use_cache: bool,
    as_json: bool,
) -> int:
    """Score pictures with every reward; exit code 1 if some could not be scored."""
    if out is not None:
        check_writable(out)
    items = gather(images, prompts=prompts, targets=targets, references=references)
    scorers = {spec: load(spec, use_cache=use_cache) for spec in dict.fromkeys(rewards)}
    records = score_items(items, scorers, batch_size=batch_size)
    failed = sum(record["score"] is None for record in records)
    if failed == len(records):
        raise RewardFailedError(f"{records[0]['image']}: {records[0]['error']}")
    if out is not None:
        write_table(out, records)
    if as_json:
        print_json(records)
    elif out is None:
        _print_scores(items, records, list(scorers))
    if failed:
        first = next(record for record in records if record["score"] is None)
        note(f"{failed} of {len(records)} scores failed, the first: {first['image']}: {first['error']}")
    return SOME_FAILED if failed else SCORED


def load(spec: str, *, use_cache: bool) -> Reward:
    """The reward of a spec, with or without a memory."""
    return cached(spec) if use_cache else reward_zoo.load(spec)


def score_items(items: Sequence[Item], rewards: dict[str, Reward], *, batch_size: int) -> list[dict[str, Any]]:
    """One record a picture and reward, picture by picture; `score` is None and `error` says why where it failed.

    Raises:
        SpecError: --batch-size below 1.
    """
    if batch_size < 1:
        raise SpecError(f"--batch-size {batch_size}: must be at least 1")
    found: dict[tuple[int, str], dict[str, Any]] = {}
    device = pick_device()
    with progress("score") as bar:
        for batch in batches(items, batch_size):
            if isinstance(batch, tuple):
                row, error = batch
                reason = str(error).removeprefix(f"{items[row].image}: ")
                found |= {(row, spec): {"score": None, "error": reason} for spec in rewards}
            else:
                pictures = as_images(batch.pictures).to(device)  # rewards run where their pictures are
                for spec, reward in rewards.items():
                    given = inputs_of([items[row] for row in batch.rows])
                    scores = reward(images=pictures, **given)
                    found |= {(row, spec): _part(scores, place) for place, row in enumerate(batch.rows)}
            bar(len(found) // len(rewards), len(items), "")
    blank = {"score": None, "error": None, "perceived": None, "components": {}}
    return [
        {"image": str(item.image), "prompt": item.prompt, "target": item.target, "reward": spec, **blank, **found[row, spec]}
        for row, item in enumerate(items)
        for spec in rewards
    ]


def _part(scores: reward_zoo.Scores, row: int) -> dict[str, Any]:
    perceived = scores.perceived[row] if scores.perceived else None
    if not scores.valid[row]:
        reason = f": {' '.join(perceived.split())}" if perceived else ""
        return {"error": f"the reward gave no score (NaN){reason}", "perceived": perceived}
    return {
        "score": scores.values[row].item(),
        "perceived": perceived,
        "components": {name: part[row].item() for name, part in scores.components.items()},
    }


def _print_scores(items: Sequence[Item], records: Sequence[dict[str, Any]], specs: Sequence[str]) -> None:
    texts = ["failed" if record["score"] is None else f"{record['score']:.4f}" for record in records]
    rows = [(str(item.image), *texts[row * len(specs) : (row + 1) * len(specs)]) for row, item in enumerate(items)]
    print_table(("image", *specs), rows)


def calibrate_command(spec: str, *, images: Sequence[Path], prompts: list[str] | None, batch_size: int, as_json: bool) -> None:
    """Fit a reward's mean, spread and quantiles on pictures, and keep them for composites."""
    import torch

    records = score_items(gather(images, prompts=prompts), {spec: cached(spec)}, batch_size=batch_size)
    if errors := [record["error"] for record in records if record["error"]]:
        note(f"{len(errors)} of {len(records)} pictures left out, the first: {errors[0]}")
    scores = torch.tensor([record["score"] for record in records if record["score"] is not None])
    fitted = calibration.fit(scores, spec)
    path = calibration.save(spec, fitted)
    if as_json:
        print_json({"reward": spec, **asdict(fitted), "saved": str(path)})
    else:
        print_table(("mean", "spread", "pictures"), [(f"{fitted.mean:.4f}", f"{fitted.spread:.4f}", fitted.count)])
        note(f"kept in {path}; composites with {spec} use it from now on")


def agreement_command(spec: str, *, preferences: Path, batch_size: int, as_json: bool) -> None:
    """How often a reward prefers what people preferred."""
    import numpy as np

    rows = read_table(preferences)
    better, worse = (column(rows, names, preferences) for names in (("better", "chosen"), ("worse", "rejected")))
    prompts = [text_of(row, PROMPT_COLUMNS) for row in rows]
    sides = [
        [Item(preferences.parent / image, prompt=prompt) for image, prompt in zip(side, prompts, strict=True)]
        for side in (better, worse)
    ]
    records = score_items([*sides[0], *sides[1]], {spec: cached(spec)}, batch_size=batch_size)
    if errors := [f"{record['image']}: {record['error']}" for record in records if record["error"]]:
        raise TableError(f"{preferences}: {len(errors)} of {len(records)} pictures could not be scored, the first: {errors[0]}")
    scores = np.array([record["score"] for record in records]).reshape(2, -1)
    right = np.where(scores[0] == scores[1], 0.5, scores[0] > scores[1])
    draws = right[np.random.default_rng(0).integers(0, len(right), (2000, len(right)))].mean(1)
    interval = [float(bound) for bound in np.quantile(draws, [0.025, 0.975])]
    ties = int((scores[0] == scores[1]).sum())
    result = {"reward": spec, "accuracy": float(right.mean()), "ci95": interval, "pairs": len(right), "ties": ties}
    if as_json:
        print_json(result)
    else:
        shown = (f"{result['accuracy']:.3f}", f"{interval[0]:.3f} to {interval[1]:.3f}", len(right), ties)
        print_table(("accuracy", "95 % interval", "pairs", "ties (count half)"), [shown])


def cache_info_command(*, as_json: bool) -> None:
    """Print where kept scores are, and how many of which reward."""
    info = ScoreCache().info()
    if as_json:
        print_json(info)
        return
    print_table(("reward", "scores"), list(info["rewards"].items()) or [("none", 0)])
    note(f"{info['path']}: {info['bytes'] / 1e6:.1f} MB")


def cache_clear_command(*, reward: str | None, as_json: bool) -> None:
    """Forget kept scores; of a composite, those of its members.

    Raises:
        RewardError: nothing is kept of the spec, and it names no reward.
    """
    cache = ScoreCache()
    if reward is None:
        count = cache.clear()
    else:
        count = sum(cache.clear(part) for part in specs_within(reward, known=cache.info()["rewards"]))
    if as_json:
        print_json({"cleared": count})
    else:
        note(f"forgot {count} scores")
