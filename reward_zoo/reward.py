"""`Reward`: the base every reward shares. It checks what goes in and what comes out; subclasses only score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from reward_zoo.errors import LasroError, MissingInputError, NotDifferentiableError, RewardError, RewardFailedError
from reward_zoo.images import as_images
from reward_zoo.prompts import broadcast
from reward_zoo.scores import Scores

if TYPE_CHECKING:
    import random

    import torch

    from reward_zoo.card import RewardCard


def no_metadata(prompt: str) -> dict[str, Any] | None:
    """Nothing is known of any prompt."""
    return None


@dataclass(frozen=True)
class RewardInputs:
    """What one call scores: `images` B×3×H×W in [0, 1] and, where given, B prompts, targets, metadata records, references.

    `references` are images to compare with, B×3×h×w in [0, 1], of any one size.
    """

    images: torch.Tensor
    prompts: list[str] | None = None
    targets: list[str] | None = None
    metadata: list[dict[str, Any]] | None = None
    references: torch.Tensor | None = None


class Reward(ABC):
    """Base of all rewards. A subclass sets `card` and implements `score`."""

    card: ClassVar[RewardCard] | RewardCard
    argument: ClassVar[str] = ""  # the option that stands first in its spec, without a name: timm:MODEL
    written: ClassVar[str] = ""  # its spec, where that is not NAME, NAME:option=value or NAME:ARGUMENT

    @abstractmethod
    def score(self, inputs: RewardInputs) -> Any:  # noqa: ANN401 - tensor, array, list or Scores; checked by __call__
        """One number an image: a (B,) tensor, array or list, or `Scores`."""

    def hindsight(
        self,
        prompt: str,
        perceived: str,
        rng: random.Random,
        *,
        others: Sequence[str] = (),
        metadata_of: Callable[[str], dict[str, Any] | None] = no_metadata,
    ) -> tuple[str, float] | None:
        """Another prompt for a picture that was perceived so, and its score there, without another look; None if there is none.

        Rewards that can score again what they perceived override it. `others` are prompts to draw from, for those that
        cannot make one up; `metadata_of` knows their metadata records.
        """
        return None

    @property
    def has_hindsight(self) -> bool:
        """Whether `hindsight` is worth asking."""
        return type(self).hindsight is not Reward.hindsight

    @property
    def elsewhere(self) -> bool:
        """Whether other processes or machines compute its scores, so that this one may do something else meanwhile."""
        return False

    def score_latents(self, *, latents: torch.Tensor, prompts: Sequence[str] | None) -> Scores:
        """Score latents, B×C×h×w as the UNet sees them, without decoding; surrogates override it.

        Raises:
            RewardError: this reward judges pictures.
        """
        raise RewardError(f"{self.card.name}: takes images, not latents; surrogate:PATH takes latents")

    def __call__(
        self,
        *,
        images: Any,  # noqa: ANN401 - see images.as_images
        prompts: Sequence[str] | str | None = None,
        targets: Sequence[str] | str | None = None,
        metadata: Sequence[dict[str, Any]] | None = None,
        references: Any = None,  # noqa: ANN401 - as images; one for all, or one an image
    ) -> Scores:
        """Score images; see `RewardInputs` for shapes.

        Raises:
            ImageError: the images cannot be taken as B×3×H×W in [0, 1].
            MissingInputError: something the card needs is missing, or the number of it is wrong.
            NotDifferentiableError: the images want a gradient and the reward has none.
            RewardFailedError: the reward raised, or did not return one number an image.
        """
        pixels = as_images(images)
        if pixels.requires_grad and not self.card.differentiable:
            raise NotDifferentiableError(
                f"{self.card.name}: has no gradient; call it on images.detach(), or distil a surrogate of it"
            )
        count = len(pixels)
        inputs = RewardInputs(
            images=pixels,
            prompts=None if prompts is None else _texts(prompts, count, "prompts"),
            targets=None if targets is None else _texts(targets, count, "targets"),
            metadata=None if metadata is None else _one_each(list(metadata), count, "metadata"),
            references=None if references is None else _references(references, count).to(pixels.device),
        )
        self._check_needs(inputs)
        try:
            answer = self.score(inputs)
        except LasroError:
            raise
        except Exception as error:
            raise RewardFailedError(f"{self.card.name}: the reward raised {type(error).__name__}: {error}") from error
        scores = as_scores(answer, count, self.card.name)
        return scores if self.card.differentiable else replace(scores, values=scores.values.detach())

    def _check_needs(self, inputs: RewardInputs) -> None:
        needs, name = self.card.needs, self.card.name
        if "prompt" in needs and inputs.prompts is None:
            raise MissingInputError(f"{name}: needs prompts; pass prompts=[...], one an image")
        if "target" in needs and inputs.targets is None and inputs.prompts is None:
            raise MissingInputError(f"{name}: needs targets=[...] (on the command line --target), or prompts that quote them")
        if "metadata" in needs and inputs.metadata is None:
            raise MissingInputError(f"{name}: needs metadata=[...], one record an image")
        if "reference" in needs and inputs.references is None:
            raise MissingInputError(f"{name}: needs references=[...], one image for all or one an image")


def _texts(values: Sequence[str] | str, count: int, name: str) -> list[str]:
    if not isinstance(values, Iterable):
        raise MissingInputError(f"{name}: {values!r} ({type(values).__name__}) is no text and no list of texts")
    texts = broadcast(values, count, name)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise MissingInputError(f"{name}: number {number} is {text!r} ({type(text).__name__}), not a text")
    return texts


def _one_each(values: list[Any], count: int, name: str) -> list[Any]:
    if len(values) != count:
        raise MissingInputError(f"{name}: {len(values)} given for {count} images; give one an image")
    return values


def _references(references: Any, count: int) -> torch.Tensor:  # noqa: ANN401
    pixels = as_images(references)
    if len(pixels) == 1:
        return pixels.expand(count, -1, -1, -1)
    return pixels if len(pixels) == count else _one_each(list(pixels), count, "references")


def as_scores(answer: Any, count: int, name: str) -> Scores:  # noqa: ANN401
    """Whatever a reward returned, as `Scores` of `count` items.

    Raises:
        RewardFailedError: the scores, or a component, are not one number an image.
    """
    import torch

    def numbers(found: Any, what: str) -> torch.Tensor:  # noqa: ANN401
        try:
            found = (found if isinstance(found, torch.Tensor) else torch.as_tensor(found)).float().cpu()
        except Exception as error:
            kind = type(found).__name__
            raise RewardFailedError(f"{name}: {what} {kind}, not one number an image ({error})") from error
        if found.shape == (count, 1):
            found = found[:, 0]
        if found.shape != (count,):
            got = found.shape[0] if found.ndim == 1 else f"shape {tuple(found.shape)}"
            raise RewardFailedError(f"{name}: {what} {got} scores for {count} images; return one number an image")
        return found

    scores = answer if isinstance(answer, Scores) else Scores(values=answer)
    values = numbers(scores.values, "returned")
    components = {part: numbers(found, f"component {part!r}: returned") for part, found in scores.components.items()}
    return Scores(values=values, components=components, perceived=scores.perceived)
