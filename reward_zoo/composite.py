"""Several rewards as one: `0.7*ocr+0.3*aesthetic`.

Members are brought to one scale before they are combined, by their calibration on the user's images if there is one
(`lasro rewards calibrate`), else by the mean and spread their card calls typical: a raw PickScore of 21 beside an OCR score
of 0.5 would make the weights meaningless.

    0.7*ocr+0.3*aesthetic        weighted sum of z-scores
    min(ocr+aesthetic)           the worst of them, each z-score times its weight
    product(ocr+aesthetic)       Π Φ(z)^weight with Φ the normal distribution: in [0, 1], near 0 if any is bad
    rank(ocr+aesthetic)          weighted mean of the ranks within the batch, in [0, 1]
    raw(0.7*ocr+0.3*brightness)  weighted sum of the scores as they are
    normalized(ocr)              one reward as a z-score
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from reward_zoo import calibration
from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Member:
    """One reward of a composite, the spec it was loaded by, and its weight."""

    spec: str
    reward: Reward
    weight: float

    def z(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores in spreads above the mean, by calibration or card."""
        found = calibration.saved(self.spec)
        mean, spread = (found.mean, found.spread) if found else self.reward.card.typical
        return (scores - mean) / spread


def _sum(members: Sequence[Member], scores: Sequence[torch.Tensor]) -> torch.Tensor:
    return sum(member.weight * member.z(score) for member, score in zip(members, scores, strict=True))


def _raw(members: Sequence[Member], scores: Sequence[torch.Tensor]) -> torch.Tensor:
    return sum(member.weight * score for member, score in zip(members, scores, strict=True))


def _min(members: Sequence[Member], scores: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack([member.weight * member.z(score) for member, score in zip(members, scores, strict=True)]).amin(0)


def _product(members: Sequence[Member], scores: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    logs = [member.weight * torch.special.log_ndtr(member.z(score)) for member, score in zip(members, scores, strict=True)]
    return sum(logs).exp()


def _rank(members: Sequence[Member], scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Ties share the mean of their ranks; a single image stands in the middle."""
    total = sum(abs(member.weight) for member in members)
    combined = 0
    for member, score in zip(members, scores, strict=True):
        below = (score[None] < score[:, None]).float().sum(1)
        ties = (score[None] == score[:, None]).float().sum(1) - 1
        share = (below + ties / 2) / max(1, len(score) - 1) if len(score) > 1 else score * 0 + 0.5
        combined = combined + member.weight / total * share
    return combined


AGGREGATIONS: dict[str, Callable[[Sequence[Member], Sequence[torch.Tensor]], torch.Tensor]] = {
    "sum": _sum,
    "min": _min,
    "product": _product,
    "rank": _rank,
    "raw": _raw,
    "normalized": _sum,
}


class Composite(Reward):
    """Members combined by an aggregation; each member's own score is a component. One failed member fails the item."""

    written: ClassVar[str] = "by its members, as 0.7*ocr+0.3*aesthetic or min(ocr+aesthetic)"

    card = RewardCard(
        name="composite",
        summary="several rewards as one: 0.7*ocr+0.3*aesthetic; also min(…), product(…), rank(…), raw(…)",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        differentiable=True,
        source="weighted sum, minimum, product or rank of normalised scores; differentiable if every member is",
        license="Apache-2.0; each member's own applies to its scores",
    )

    def __init__(self, members: Sequence[Member], *, aggregation: str = "sum", spec: str = "composite") -> None:
        self.members, self.aggregation = list(members), aggregation
        cards = [member.reward.card for member in members]
        kept = [card.perceives for card in cards if card.perceives]
        self.card = RewardCard(
            name=spec,
            summary=f"{aggregation} of {', '.join(card.name for card in cards)}",
            range=(0.0, 1.0) if aggregation in ("product", "rank") else (float("-inf"), float("inf")),
            typical=(0.5, 0.3) if aggregation in ("product", "rank") else (0.0, 1.0),
            differentiable=aggregation != "rank" and all(card.differentiable for card in cards),
            needs=tuple(sorted({need for card in cards for need in card.needs})),
            source="; ".join(card.source for card in cards),
            license="; ".join(dict.fromkeys(card.license for card in cards)),
            weights=tuple(weights for card in cards for weights in card.weights),
            components=tuple(dict.fromkeys(member.spec for member in members)),
            per_image=aggregation != "rank" and all(card.per_image for card in cards),
            perceives=kept[0] if len(kept) == 1 and len(cards) == 1 else "",
        )

    def score(self, inputs: RewardInputs) -> Scores:
        """Ask every member, then combine."""
        given = {"prompts": inputs.prompts, "targets": inputs.targets, "metadata": inputs.metadata}
        given["references"] = inputs.references
        found = [member.reward(images=self._images(member, inputs.images), **given) for member in self.members]
        values = [scores.values.to(inputs.images.device) for scores in found]
        valid = sum(value.isfinite().float() for value in values) == len(values)
        combined = AGGREGATIONS[self.aggregation](self.members, [value.nan_to_num() for value in values])
        components = {member.spec: scores.values.detach() for member, scores in zip(self.members, found, strict=True)}
        perceived = found[0].perceived if self.card.perceives else None
        return Scores(combined.where(valid, combined.new_tensor(float("nan"))), components, perceived)

    @property
    def elsewhere(self) -> bool:
        """Whether some member's scores come from elsewhere."""
        return any(member.reward.elsewhere for member in self.members)

    @property
    def has_hindsight(self) -> bool:
        """Whether it is one reward, brought to another scale; a rank is nothing without its batch."""
        return len(self.members) == 1 and self.aggregation != "rank" and self.members[0].reward.has_hindsight

    def hindsight(self, *question: Any, **known: Any) -> tuple[str, float] | None:  # noqa: ANN401 - as Reward.hindsight
        """The only member's, on this scale."""
        import torch

        found = self.members[0].reward.hindsight(*question, **known) if self.has_hindsight else None
        if found is None:
            return None
        return found[0], AGGREGATIONS[self.aggregation](self.members, [torch.tensor([found[1]])]).item()

    def _images(self, member: Member, images: torch.Tensor) -> torch.Tensor:
        return images if member.reward.card.differentiable else images.detach()


class Normalized(Composite):
    """A composite of one: a card of its own for the list."""

    written: ClassVar[str] = "around its reward, as normalized(ocr)"
    card = RewardCard(
        name="normalized",
        summary="one reward as a z-score, by your calibration or its card: normalized(ocr)",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        differentiable=True,
        source="(score − mean) / spread; differentiable if the reward is",
        license="Apache-2.0; the reward's own applies to its scores",
    )
