"""`vlm_judge`: a vision-language model behind any OpenAI-compatible endpoint (vLLM, SGLang, Ollama, OpenAI …) as the reward."""

from __future__ import annotations

import base64
import io
import math
import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

import numpy as np

from reward_zoo.card import RewardCard
from reward_zoo.errors import RewardFailedError, SpecError
from reward_zoo.images import to_uint8
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

RUBRIC = (
    'This image was made for the prompt: "{prompt}". Judge how well it shows what the prompt asks for and how good it looks. '
    "Answer with one line, 'Score: X', where X is a number from 1 (bad) to 5 (excellent)."
)
QUESTION = 'Does this image show "{prompt}"? Answer Yes or No.'
UNIFIED = (
    "This image was generated from the caption: [{prompt}]. Rate it in three respects and answer with exactly three lines:\n"
    "Alignment Score (1-5): X\nCoherence Score (1-5): X\nStyle Score (1-5): X"
)
# From 1 to 5; the end refuses the 1 of 10, the 5 of 5.5 and the 4 of 4/10.
_SCORE = re.compile(r"score[^:\n]*:\s*\**\s*(5(?:\.0+)?|[1-4](?:\.\d+)?)(?!\d|\.\d|\s*/\s*1)", re.IGNORECASE)
_RETRIED = (408, 409, 429, 500, 502, 503, 504)


class VlmJudge(Reward):
    """Asks an endpoint about each image; `answer=score` reads "Score: 1…5", `answer=yes` the probability of "Yes"."""

    card = RewardCard(
        name="vlm_judge",
        summary="what a vision-language model says of the image, through any OpenAI-compatible endpoint",
        range=(0.0, 1.0),
        typical=(0.6, 0.2),
        needs=("prompt",),
        image_size="any; sent as PNG",
        source="the mean of the scores read from the answer, over 5; or P(Yes) / (P(Yes) + P(No)) from the first token's top "
        "20 (as VQAScore, Lin et al., 2024, asks)",
        license="Apache-2.0; the judge's own licence applies to its answers",
        perceives="the judge's answer",
        version="2",
    )
    question: ClassVar[str] = RUBRIC
    elsewhere = True

    def __init__(
        self,
        *,
        base_url: str = "http://localhost:8000/v1",
        model: str = "default",
        answer: Literal["score", "yes"] = "score",
        rubric: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        if concurrency < 1 or timeout <= 0 or retries < 0:
            given = f"concurrency={concurrency}, timeout={timeout}, retries={retries}"
            raise SpecError(f"{self.card.name}: {given}: the first two must be above 0, the last not below")
        self.url, self.model, self.answer = f"{base_url.rstrip('/')}/chat/completions", model, answer
        self.rubric = rubric or (QUESTION if answer == "yes" else self.question)
        self.key = os.environ.get(api_key_variable, "")
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries

    def score(self, inputs: RewardInputs) -> Scores:
        """Judge every image; one that got no answer, or one without a score in it, is NaN.

        Raises:
            RewardFailedError: no image got an answer; the message says why the first did not.
        """
        import httpx
        import torch

        items = list(zip(to_uint8(inputs.images), inputs.prompts, strict=True))
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with (
            httpx.Client(timeout=self.timeout, headers=headers) as client,
            ThreadPoolExecutor(min(self.concurrency, len(items))) as pool,
        ):
            found = list(pool.map(lambda item: self._judge(client, *item), items))
        if not any(answered for *_, answered in found):
            reason = f"{self.url} gave no answer ({found[0][1]})"
            raise RewardFailedError(f"{self.card.name}: {reason}; check base_url and model")
        return Scores(values=torch.tensor([value for value, *_ in found]), perceived=[text for _, text, _ in found])

    def read(self, text: str) -> float:
        """The mean of the scores in an answer, over 5; NaN without one."""
        scores = [float(score) for score in _SCORE.findall(text)]
        return sum(scores) / len(scores) / 5 if scores else float("nan")

    def _judge(self, client: Any, picture: np.ndarray, prompt: str) -> tuple[float, str, bool]:  # noqa: ANN401 - httpx.Client
        """Score (NaN without one), answer or why there is none, and whether there is one, of one image."""
        content = [{"type": "image_url", "image_url": {"url": _png_url(picture)}}]
        content.append({"type": "text", "text": self.rubric.replace("{prompt}", prompt)})
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": content}], "temperature": 0}
        body |= {"max_tokens": 1, "logprobs": True, "top_logprobs": 20} if self.answer == "yes" else {"max_tokens": 512}
        try:
            choice = self._post(client, body)["choices"][0]
            text = choice["message"]["content"] or ""
            if self.answer == "yes":
                return share_of_yes(choice["logprobs"]["content"][0]["top_logprobs"]), text, True
            return self.read(text), text, True
        except Exception as error:
            return float("nan"), f"{type(error).__name__}: {error}", False

    def _post(self, client: Any, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        import httpx

        for attempt in range(self.retries + 1):
            try:
                response = client.post(self.url, json=body)
                if response.status_code not in _RETRIED or attempt == self.retries:
                    return response.raise_for_status().json()
            except httpx.TransportError:
                if attempt == self.retries:
                    raise
            time.sleep(min(8.0, 0.25 * 2**attempt) * (0.5 + random.random()))  # noqa: S311 - no secret
        raise AssertionError("the last attempt returns or raises")


class UnifiedReward(VlmJudge):
    """UnifiedReward 2.0 served by any such endpoint: alignment, coherence and style."""

    card = RewardCard(
        name="unified_reward",
        summary="UnifiedReward 2.0 through an OpenAI-compatible endpoint: alignment, coherence and style",
        range=(0.0, 1.0),
        typical=(0.65, 0.15),
        needs=("prompt",),
        image_size="any; sent as PNG",
        source="UnifiedReward (Wang et al., 2025): mean of its three scores, over 5; own question wording",
        license="MIT (CodeGoat24/UnifiedReward-2.0-qwen3vl-*)",
        perceives="the judge's answer",
        version="2",
    )
    question = UNIFIED


def share_of_yes(tokens: list[dict[str, Any]]) -> float:
    """P(yes) / (P(yes) + P(no)) over the spellings among the top tokens; NaN if neither is there."""
    mass = {"yes": 0.0, "no": 0.0}
    for entry in tokens:
        word = entry["token"].strip().lower()
        if word in mass:
            mass[word] += math.exp(entry["logprob"])
    total = sum(mass.values())
    return mass["yes"] / total if total > 0 else float("nan")


def _png_url(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
