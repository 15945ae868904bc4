"""`lasro rewards list | info | score` and `lasro doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import reward_zoo
from cli.output import note, print_json, print_table, progress
from reward_zoo.errors import ImageError, SpecError
from reward_zoo.images import IMAGE_SUFFIXES, read_image
from reward_zoo.prompts import broadcast
from reward_zoo.readiness import readiness
from reward_zoo.registry import card_of


def list_command(*, filters: dict[str, bool], license_kind: str | None, as_json: bool) -> None:
    """Print the cards that pass every filter that is on."""
    if license_kind not in (None, "permissive"):
        raise SpecError(f"--license {license_kind}: is not known; the one filter is permissive")
    kept = {
        "differentiable": lambda card: card.differentiable,
        "offline": lambda card: card.offline,
        "needs_prompt": lambda card: bool({"prompt", "target"} & set(card.needs)),
        "ready": lambda card: readiness(card).state == "ready",
        "permissive": lambda card: card.permissive,
    }
    active = [kept[name] for name, on in {**filters, "permissive": license_kind == "permissive"}.items() if on]
    cards = [card for card in reward_zoo.list_rewards() if all(keep(card) for keep in active)]
    if as_json:
        print_json([card.as_dict() for card in cards])
        return
    rows = [(card.name, "yes" if card.differentiable else "no", ", ".join(card.needs) or "-", card.summary) for card in cards]
    print_table(("name", "gradient", "needs", "what it rewards"), rows)


def doctor_command(*, as_json: bool) -> None:
    """Print what each reward still lacks on this machine."""
    found = [readiness(card) for card in reward_zoo.list_rewards()]
    if as_json:
        print_json([asdict(item) for item in found])
        return
    rows = []
    for item in found:
        first, *more = item.remedies or ("",)
        rows += [(item.name, item.state, first), *(("", "", remedy) for remedy in more)]
    print_table(("reward", "state", "what to do"), rows)
    note(f"{sum(item.state == 'ready' for item in found)} of {len(found)} rewards are ready on this machine")


def info_command(name: str, *, as_json: bool) -> None:
    """Print one card."""
    card = card_of(name).as_dict()
    if as_json:
        print_json(card)
        return
    print_table(("field", "value"), [(key, value) for key, value in card.items() if value not in ("", (), [], None)])


def score_command(
    images: Sequence[Path], *, reward: str, prompts: list[str] | None, targets: list[str] | None, as_json: bool
) -> None:
    """Score files one by one, so that sizes may differ."""
    files = _expand(images)
    scorer = reward_zoo.load(reward)
    prompts = broadcast(prompts, len(files), "--prompt") if prompts else None
    targets = broadcast(targets, len(files), "--target") if targets else None
    records = []
    with progress("score") as bar:
        for row, file in enumerate(files):
            scores = scorer(
                images=read_image(file),
                prompts=None if prompts is None else [prompts[row]],
                targets=None if targets is None else [targets[row]],
            )
            parts = {name: part[0].item() for name, part in scores.components.items()}
            record = {"image": str(file), "score": scores.values[0].item(), "components": parts}
            records.append(record | ({"perceived": scores.perceived[0]} if scores.perceived else {}))
            bar(row + 1, len(files), "")
    if as_json:
        print_json(records)
    else:
        print_table(("image", "score"), [(record["image"], f"{record['score']:.4f}") for record in records])


def _expand(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(item for item in path.iterdir() if item.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise ImageError(f"{path}: the folder holds no picture ({', '.join(IMAGE_SUFFIXES)})")
            files += found
        else:
            files.append(path)
    return files
