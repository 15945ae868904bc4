"""`artifact_guard`: has the image become dark, flat or empty?

Rewards of one property are climbed by giving up the others: UniRL reports an OCR reward that drove images to text on
black (dark pixels .45 → .93, edges −60 %, colour entropy −54 %) while the score rose
(github.com/Tencent-Hunyuan/UniRL/pull/407). Use it as a guard, or with a weight in a composite.
"""

from __future__ import annotations

from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.color import ColorEntropy, luma
from reward_zoo.rewards.structure import EdgeDensity
from reward_zoo.scores import Scores

DARK = 0.1  # luma below which a pixel counts as dark


class ArtifactGuard(Reward):
    """The share of four checks an image passes; each alarm is a component."""

    card = RewardCard(
        name="artifact_guard",
        summary="1 for a normal image; less for a dark, blown-out, flat or one-coloured one",
        range=(0.0, 1.0),
        typical=(0.95, 0.12),
        image_size="at least 2×2",
        source="thresholds on dark and light pixels, edge density and colour entropy; after UniRL pull request 407",
        license="Apache-2.0",
        components=("dark", "blown_out", "flat", "one_colored"),
    )

    def __init__(self, *, dark: float = 0.8, light: float = 0.8, edges: float = 0.002, entropy: float = 1.0) -> None:
        self.dark, self.light, self.edges, self.entropy = dark, light, edges, entropy

    def score(self, inputs: RewardInputs) -> Scores:
        """Alarms: dark or white pixels over their share, edge density or palette entropy (bits) below their floor."""
        gray = luma(inputs.images)
        edges = EdgeDensity().score(inputs)
        alarms = {
            "dark": (gray < DARK).float().mean((1, 2)) > self.dark,
            "blown_out": (gray > 1 - DARK / 2).float().mean((1, 2)) > self.light,
            "flat": edges < self.edges,
            "one_colored": ColorEntropy().score(inputs) < self.entropy,
        }
        passed = 1 - sum(alarm.float() for alarm in alarms.values()) / len(alarms)
        values = passed.where(edges.isfinite(), edges)
        return Scores(values=values, components={name: alarm.float() for name, alarm in alarms.items()})
