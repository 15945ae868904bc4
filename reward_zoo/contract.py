"""What every reward promises, as checks that anybody can run on their own: `lasro rewards check SPEC`.

The built-in rewards pass the same checks in the test suite.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.composite import Composite
from reward_zoo.errors import ImageError, LasroError, MissingInputError, NotDifferentiableError
from reward_zoo.images import to_uint8
from reward_zoo.reward import Reward

if TYPE_CHECKING:
    import torch

COUNT = 4  # pictures a check uses
SAME = 1e-5  # how far scores may differ where they should not: a network's last bits depend on the batch
STEP = 1e-3  # of the finite difference
NEAR = 0.05  # how far the gradient may lie from it, as a share
PROMPTS = ['a red sign "AB"', 'a blue sign "CD"', 'a green sign "EF"', 'a gold sign "GH"']
METADATA = [{"include": [{"class": name, "count": 1}]} for name in ("cat", "dog", "cat", "boat")]


@dataclass(frozen=True)
class Check:
    """One promise, and whether a reward keeps it."""

    promise: str
    kept: bool
    reason: str = ""


class Broken(Exception):
    """A promise that is not kept."""


def check(reward: Reward) -> list[Check]:
    """Ask a reward about drawn pictures, and see which promises it keeps.

    The pictures are noise and the prompts are made up: what is checked is that answers are consistent, not that they are wise.
    """
    return [check_promise(reward, name) for name in PROMISES]


def check_promise(reward: Reward, name: str) -> Check:
    """One of `PROMISES`, by name."""
    try:
        PROMISES[name](reward)
    except (Broken, LasroError) as error:
        return Check(name, False, str(error))
    return Check(name, True)


def pictures() -> torch.Tensor:
    """Four different pictures, 4×3×32×48."""
    import torch

    return torch.rand(COUNT, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def made_up(reward: Reward, rows: Any = slice(None)) -> dict[str, Any]:  # noqa: ANN401 - a slice, or a list of rows
    """What the reward's card says it needs, for some of the four pictures."""
    import torch

    numbers = list(range(COUNT))[rows] if isinstance(rows, slice) else rows
    needs, given = reward.card.needs, {}
    if {"prompt", "target"} & set(needs):
        given["prompts"] = [PROMPTS[row] for row in numbers]
    if "metadata" in needs:
        given["metadata"] = [METADATA[row] for row in numbers]
    if "reference" in needs:
        given["references"] = torch.rand(COUNT, 3, 24, 24, generator=torch.Generator().manual_seed(1))[numbers]
    return given


def one_score_each(reward: Reward) -> None:
    """One float32 an image, finite, within the card's range, with the card's components and perception."""
    import torch

    scores, card = reward(images=pictures(), **made_up(reward)), reward.card
    _expect(scores.values.shape == (COUNT,), f"{tuple(scores.values.shape)} scores for {COUNT} images")
    _expect(scores.values.dtype == torch.float32, f"scores are {scores.values.dtype}, not float32")
    _expect(bool(scores.valid.all()), f"no score (NaN) for {int((~scores.valid).sum())} of {COUNT} ordinary images")
    low, high = scores.values.aminmax()
    _expect(low >= card.range[0] and high <= card.range[1], f"scores {low:g} to {high:g} leave the card's range {card.range}")
    found, declared = set(scores.components), set(card.components)
    _expect(found == declared, f"components {sorted(found)}, but the card declares {sorted(declared)}")
    _expect(all(len(part) == COUNT for part in scores.components.values()), "a component is not one number an image")
    perceives = scores.perceived is not None
    _expect(perceives == bool(card.perceives), f"perceived is {'' if perceives else 'not '}given, against the card's perceives")


def batch_of_its_items(reward: Reward) -> None:
    """A batch scores as its items do one by one; only rank composites compare within the batch, by design."""
    import torch

    if isinstance(reward, Composite) and reward.aggregation == "rank":
        return
    whole = reward(images=pictures(), **made_up(reward)).values
    parts = [reward(images=pictures()[row : row + 1], **made_up(reward, slice(row, row + 1))).values for row in range(COUNT)]
    _expect_same(torch.cat(parts), whole, "images score otherwise alone than in a batch")


def any_order(reward: Reward) -> None:
    """The order of the items does not matter."""
    order = [2, 0, 3, 1]
    whole = reward(images=pictures(), **made_up(reward)).values
    _expect_same(reward(images=pictures()[order], **made_up(reward, order)).values, whole[order], "scores depend on the order")


def the_same_twice(reward: Reward) -> None:
    """Asked again, it answers the same."""
    first, second = (reward(images=pictures(), **made_up(reward)).values for _ in range(2))
    _expect(bool((first == second).all()), f"asked twice, it answers {first.tolist()} and {second.tolist()}")


def images_unharmed(reward: Reward) -> None:
    """The caller's images are not written to."""
    images = pictures()
    reward(images=images, **made_up(reward))
    _expect(bool((images == pictures()).all()), "it writes into the images it is given; work on images.clone()")


def every_form_of_image(reward: Reward) -> None:
    """Tensor, uint8 array, PIL image and path score the same."""
    import torch
    from PIL import Image

    arrays, texts = to_uint8(pictures()), made_up(reward)
    want = reward(images=torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255, **texts).values
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{row}.png" for row in range(COUNT)]
        for array, file in zip(arrays, files, strict=True):
            Image.fromarray(array).save(file)
        forms = {"arrays": arrays, "PIL images": [Image.fromarray(array) for array in arrays], "paths": files}
        for name, form in forms.items():
            got = reward(images=form, **texts).values
            _expect(bool((got == want).all()), f"{name} score {got.tolist()}, the same tensors {want.tolist()}")


def gradient_as_declared(reward: Reward) -> None:
    """A declared gradient is there, finite, not zero, and agrees with finite differences; another is refused."""
    import torch

    texts = made_up(reward)
    if not reward.card.differentiable:
        try:
            reward(images=pictures().requires_grad_(True), **texts)
        except NotDifferentiableError:
            return
        raise Broken("the card declares no gradient, but asking for one is not refused")
    pixels = (0.2 + 0.6 * pictures()).requires_grad_(True)  # room for a step inside [0, 1]
    total = reward(images=pixels, **texts).values.sum()
    _expect(
        total.requires_grad, "the card declares a gradient, but the scores carry none; do not detach, and no torch.no_grad()"
    )
    (gradient,) = torch.autograd.grad(total, pixels, allow_unused=True)
    _expect(gradient is not None and bool(gradient.isfinite().all()), "the gradient is missing, or not finite")
    _expect(bool(gradient.abs().sum() > 0), "the gradient is zero everywhere")
    step = STEP * gradient.sign()
    up, down = (reward(images=pixels.detach() + sign * step, **texts).values.double().sum().item() for sign in (1, -1))
    measured, promised = (up - down) / 2, (gradient * step).sum().item()
    _expect(
        abs(measured - promised) <= NEAR * abs(promised),
        f"a small step along the gradient changes the score by {measured:.4g}, the gradient says {promised:.4g}",
    )


def bad_images_refused(reward: Reward) -> None:
    """Wrong channels, ranges, NaN pixels, empty batches and missing files are named errors."""
    import numpy as np
    import torch

    bad = {
        "four channels": torch.rand(2, 4, 8, 8),
        "values up to 255": torch.rand(2, 3, 8, 8) * 255,
        "NaN pixels": torch.full((1, 3, 8, 8), float("nan")),
        "a float array": np.random.default_rng(0).random((2, 8, 8, 3)),
        "no image": torch.zeros(0, 3, 8, 8),
        "an empty list": [],
        "a missing file": "no/such.png",
    }
    for name, images in bad.items():
        try:
            reward(images=images, **made_up(reward))
        except ImageError:
            continue
        except LasroError as error:
            raise Broken(f"{name}: another error than ImageError: {error}") from error
        raise Broken(f"{name}: accepted without an error")


def missing_needs_refused(reward: Reward) -> None:
    """What the card needs and is not given, or not for every image, is a named error."""
    if not reward.card.needs:
        return
    for name, given in {"nothing is given": {}, "three are given for four images": made_up(reward, slice(3))}.items():
        try:
            reward(images=pictures(), **given)
        except MissingInputError:
            continue
        raise Broken(f"needs {', '.join(reward.card.needs)}, but when {name} there is no error")


def card_is_complete(reward: Reward) -> None:
    """The card says what people need to know."""
    card = reward.card
    empty = [name for name in ("name", "summary", "source", "license", "image_size", "version") if not getattr(card, name)]
    _expect(not empty, f"the card's {', '.join(empty)} is empty")
    _expect(card.typical[1] > 0, f"the card's typical spread {card.typical[1]} is not above 0")
    unplaced = [weights.file for weights in card.weights if not (weights.source and weights.bytes and weights.place_by_hand)]
    _expect(not unplaced, f"the card does not say where {', '.join(unplaced)} comes from, its size, or how to place it by hand")


PROMISES: dict[str, Callable[[Reward], None]] = {
    "its card is complete": card_is_complete,
    "one score an image, as the card says": one_score_each,
    "the same twice": the_same_twice,
    "a batch is its items": batch_of_its_items,
    "any order": any_order,
    "every form of image": every_form_of_image,
    "the caller's images stay as they are": images_unharmed,
    "the gradient is as declared": gradient_as_declared,
    "bad images are refused": bad_images_refused,
    "missing inputs are refused": missing_needs_refused,
}


def _expect(condition: bool, reason: str) -> None:
    if not condition:
        raise Broken(reason)


def _expect_same(got: torch.Tensor, want: torch.Tensor, reason: str) -> None:
    if not bool(((got - want).abs() <= SAME + SAME * want.abs()).all()):
        raise Broken(f"{reason}: {got.tolist()} and {want.tolist()}")
