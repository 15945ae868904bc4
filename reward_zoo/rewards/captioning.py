"""`captioning_alignment`: would somebody who sees only the image describe it as the prompt does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.models import frozen
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.blip import blip_pixels
from reward_zoo.rewards.blip_models import bert_tokenizer
from reward_zoo.rewards.clip import CLIP_L, hub_weights
from reward_zoo.rewards.clip_models import HubClip, load_model
from reward_zoo.scores import Scores
from reward_zoo.text_variants import another_prompt
from reward_zoo.weights import weight_folder

if TYPE_CHECKING:
    import random

    import torch

CAPTIONER = "Salesforce/blip-image-captioning-large"
NOTHING = "nothing"  # a caption without a word
REMEMBERED = 50_000  # texts whose embeddings are kept, 150 MB of CLIP-L's


class CaptioningAlignment(Reward):
    """BLIP describes the image; CLIP's text tower compares the description with the prompt."""

    card = RewardCard(
        name="captioning_alignment",
        summary="does a caption of the image mean what the prompt says",
        range=(-1.0, 1.0),
        typical=(0.75, 0.1),
        needs=("prompt",),
        image_size="any; squeezed to 384×384",
        prompt_token_limit=77,
        source="the captioning-based alignment among LaSRO's rewards (Jia et al., 2025), whose parts are not published: here "
        "BLIP's greedy caption and the cosine of CLIP text embeddings",
        license="BSD-3-Clause (BLIP), MIT (CLIP)",
        weights=(
            hub_weights(CAPTIONER, "model.safetensors", 1_880_000_000),
            hub_weights(CLIP_L, "model.safetensors", 1_710_000_000),
        ),
        perceives="the caption",
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None, clip: str | None = None, max_new_tokens: int = 30) -> None:
        from transformers import BlipForConditionalGeneration

        folder = weight_folder(CAPTIONER, reward=self.card.name, given=weights)
        self.model = frozen(load_model(BlipForConditionalGeneration, folder, self.card.name))
        self.tokenizer = bert_tokenizer(folder, self.card.name)
        self.clip = HubClip(CLIP_L, reward=self.card.name, weights=clip)
        self.max_new_tokens = max_new_tokens
        self._known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # text → embedding, truncated; on the CPU

    def score(self, inputs: RewardInputs) -> Scores:
        """Cosine of caption and prompt."""
        import torch

        with torch.no_grad():
            pixels = blip_pixels(self.model.to(inputs.images.device), inputs.images)
            written = self.model.generate(pixel_values=pixels, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1)
        words = written[:, 1:]  # behind BLIP's start sign, a word to the tokenizer
        captions = [text.strip() for text in self.tokenizer.batch_decode(words, skip_special_tokens=True)]
        self.clip.model.to(inputs.images.device)
        wanted, truncated = self._embed(inputs.prompts)
        found, _ = self._embed([caption or NOTHING for caption in captions])
        return Scores(values=(wanted * found).sum(1), components={"prompt_truncated": truncated}, perceived=captions)

    def hindsight(
        self, prompt: str, perceived: str, rng: random.Random, *, others: Sequence[str] = (), **_: object
    ) -> tuple[str, float] | None:
        """One of the other prompts, and the cosine of it and the caption."""

        def score(other: str) -> float:
            (wanted, found), _ = self._embed([other, perceived or NOTHING])
            return float(wanted @ found)

        return another_prompt(prompt, others, rng, score)

    def _embed(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings N×D of length 1 and which texts were cut (N,); CLIP is asked about a text once."""
        import torch

        if len(self._known) > REMEMBERED:
            self._known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            answer = self.clip.embed_texts(new, self.clip.model.device)
            self._known |= zip(new, zip(answer.embeddings.cpu(), answer.truncated.cpu(), strict=True), strict=True)
        embeddings, truncated = zip(*(self._known[text] for text in texts), strict=True)
        return torch.stack(embeddings), torch.stack(truncated)
