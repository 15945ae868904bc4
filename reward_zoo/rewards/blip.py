"""Rewards on BLIP. All differentiable; prompts are cut at 35 tokens, as BLIP's and ImageReward's own code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.errors import MissingWeightsError, SpecError
from reward_zoo.models import frozen
from reward_zoo.preprocessing import CLIP_MEAN, CLIP_STD, normalise, resize, resize_and_crop
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.aesthetic import linear_head_of
from reward_zoo.rewards.blip_models import BERT, TOKEN_LIMIT, bert_tokenizer, build_towers, cut_tokens
from reward_zoo.rewards.clip import hub_weights
from reward_zoo.rewards.clip_models import load_model, read_state
from reward_zoo.scores import Scores
from reward_zoo.weights import weight_file, weight_folder

if TYPE_CHECKING:
    import torch

IMAGE_REWARD = "THUDM/ImageReward"
ITM = "Salesforce/blip-itm-large-coco"
VQA = "Salesforce/blip-vqa-capfilt-large"
TOKENIZER = hub_weights(BERT, "vocab.txt", 232_000)
LEFT_OUT = re.compile(r'[.!"()*#:;~]')  # of BLIP's questions


class ImageReward(Reward):
    """ImageReward-v1.0, its published checkpoint in transformers' BLIP classes."""

    card = RewardCard(
        name="image_reward",
        summary="which image would people prefer for this prompt (ImageReward)",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        differentiable=True,
        needs=("prompt",),
        image_size="any; shorter side to 224, middle square",
        prompt_token_limit=TOKEN_LIMIT,
        source="ImageReward (Xu et al., 2023): BLIP-L with a five-layer head on [CLS]; (x − 0.16717) / 1.03334",
        license="Apache-2.0",
        weights=(hub_weights(IMAGE_REWARD, "ImageReward.pt", 1_790_000_000), TOKENIZER),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None) -> None:
        name = self.card.name
        file = weight_file(IMAGE_REWARD, "ImageReward.pt", reward=name, given=weights)
        try:
            state = read_state(file)
            parts = {prefix: _under(state, prefix) for prefix in ("blip.visual_encoder.", "blip.text_encoder.", "mlp.")}
            self.vision, self.text = build_towers(parts["blip.visual_encoder."], parts["blip.text_encoder."])
            self.head = linear_head_of(parts["mlp."], (0, 2, 4, 6, 7))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise MissingWeightsError(f"{name}: {file} is not ImageReward's checkpoint ({reason})") from error
        self.tokenizer = bert_tokenizer(file.parent, name)

    def score(self, inputs: RewardInputs) -> Scores:
        """About −2 to 2 for diffusion models' images."""
        for part in (self.vision, self.text, self.head):
            part.to(inputs.images.device)
        size = self.vision.config.image_size
        images = self.vision(normalise(resize_and_crop(inputs.images, size), CLIP_MEAN, CLIP_STD)).last_hidden_state
        tokens, truncated = cut_tokens(self.tokenizer, inputs.prompts)
        tokens = tokens.to(images.device)
        read = self.text(tokens["input_ids"], attention_mask=tokens["attention_mask"], encoder_hidden_states=images)
        values = (self.head(read.last_hidden_state[:, 0])[:, 0] - 0.16717) / 1.03334
        return Scores(values=values, components={"prompt_truncated": truncated})


class BlipItm(Reward):
    """BLIP's image-text matching head."""

    card = RewardCard(
        name="blip_itm",
        summary="does the image match the prompt, by BLIP's matching head",
        range=(0.0, 1.0),
        typical=(0.5, 0.4),
        differentiable=True,
        needs=("prompt",),
        image_size="any; squeezed to 384×384",
        prompt_token_limit=TOKEN_LIMIT,
        source="BLIP (Li et al., 2022): P(match)",
        license="BSD-3-Clause",
        weights=(hub_weights(ITM, "model.safetensors", 1_790_000_000),),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None) -> None:
        from transformers import BlipForImageTextRetrieval

        folder = weight_folder(ITM, reward=self.card.name, given=weights)
        self.model = frozen(load_model(BlipForImageTextRetrieval, folder, self.card.name))
        self.tokenizer = bert_tokenizer(folder, self.card.name)

    def score(self, inputs: RewardInputs) -> Scores:
        """P(match)."""
        pixels = blip_pixels(self.model.to(inputs.images.device), inputs.images)
        tokens, truncated = cut_tokens(self.tokenizer, inputs.prompts)
        found = self.model(pixel_values=pixels, **tokens_of(tokens, pixels), use_itm_head=True)
        return Scores(values=found.itm_score.softmax(1)[:, 1], components={"prompt_truncated": truncated})


class BlipVqa(Reward):
    """Attribute binding: BLIP asked about each noun phrase of the prompt."""

    card = RewardCard(
        name="blip_vqa",
        summary='attribute binding: the product over the prompt\'s phrases of P("yes") against P("no") to "PHRASE?"',
        range=(0.0, 1.0),
        typical=(0.4, 0.3),
        differentiable=True,
        needs=("prompt",),
        image_size="any; squeezed to 480×480",
        prompt_token_limit=TOKEN_LIMIT,
        source='BLIP-VQA of T2I-CompBench (Huang et al., 2023; BLIPvqa_eval): P("yes") / (P("yes") + P("no")). What differs: '
        "phrases are metadata's `phrases`, else the prompt's parts between commas, 'and' and 'with' (there spaCy's chunks); "
        "the hub's copy of the weights has its positions at 384 px, from where they are interpolated to 480",
        license="BSD-3-Clause (BLIP), MIT (T2I-CompBench)",
        weights=(hub_weights(VQA, "model.safetensors", 1_540_000_000),),
        components=("phrases", "prompt_truncated"),
        version="2",
    )

    def __init__(self, *, image_size: int = 480, weights: str | None = None) -> None:
        from transformers import BlipForQuestionAnswering

        folder = weight_folder(VQA, reward=self.card.name, given=weights)
        self.model = frozen(load_model(BlipForQuestionAnswering, folder, self.card.name))
        self.tokenizer = bert_tokenizer(folder, self.card.name)
        self.yes, self.no = self.tokenizer.convert_tokens_to_ids(["yes", "no"])
        self.start = self.model.decoder_start_token_id
        self.size, patch = image_size, self.model.config.vision_config.patch_size
        if image_size < patch or image_size % patch:
            raise SpecError(f"{self.card.name}: image_size={image_size}: must be a multiple of {patch}")

    def score(self, inputs: RewardInputs) -> Scores:
        """The product of the answers over the phrases; all questions of the batch go through together."""
        import torch

        records = inputs.metadata or [{}] * len(inputs.images)
        pairs = zip(records, inputs.prompts, strict=True)
        phrases = [record.get("phrases") or noun_phrases(prompt) for record, prompt in pairs]
        rows = torch.tensor([row for row, asked in enumerate(phrases) for _ in asked], device=inputs.images.device)
        questions = [LEFT_OUT.sub("", f"{phrase}?") for asked in phrases for phrase in asked]
        tokens, cut = cut_tokens(self.tokenizer, questions)
        pixels = normalise(resize(inputs.images, self.size, self.size), CLIP_MEAN, CLIP_STD)
        seen = self.model.to(pixels.device).vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
        log_yes = self._log_yes(seen[rows], tokens_of(tokens, pixels))
        count = len(inputs.images)
        values = log_yes.new_zeros(count).index_add(0, rows, log_yes).exp()
        truncated = torch.zeros(count).scatter_reduce(0, rows.cpu(), cut, "amax")
        asked = torch.tensor([float(len(part)) for part in phrases])
        return Scores(values=values, components={"phrases": asked, "prompt_truncated": truncated})

    def _log_yes(self, images: torch.Tensor, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """Log of P("yes") where the answer's first word is "yes" or "no", (Q,); questions of one length at a time.

        BLIP's own code lets a question begin with [ENC], which follows the decoder's start [DEC] in its vocabulary.
        transformers' decoder looks at padding, too (its cross-attention drops the mask), so there must be none.
        """
        from torch.nn.functional import logsigmoid

        lengths = tokens["attention_mask"].sum(1)
        found = images.new_zeros(len(images))
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0]
            ids = tokens["input_ids"][rows, :length]
            ids[:, 0] = self.start + 1
            asked = self.model.text_encoder(ids, encoder_hidden_states=images[rows]).last_hidden_state
            start = ids.new_full((len(rows), 1), self.start)
            answer = self.model.text_decoder(start, encoder_hidden_states=asked, use_cache=False).logits[:, 0]
            found = found.index_add(0, rows, logsigmoid(answer[:, self.yes] - answer[:, self.no]))
        return found


def noun_phrases(prompt: str) -> list[str]:
    """The prompt's parts between commas, 'and' and 'with'.

    >>> noun_phrases("a red book and a yellow vase, on a table")
    ['a red book', 'a yellow vase', 'on a table']
    """
    parts = [part.strip(" .") for part in re.split(r",|;|\band\b|\bwith\b", prompt)]
    return [part for part in parts if part] or [prompt]


def blip_pixels(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Images squeezed to the model's square and normalised, as BlipImageProcessor does."""
    size = model.config.vision_config.image_size
    return normalise(resize(images, size, size), CLIP_MEAN, CLIP_STD)


def tokens_of(tokens: dict[str, torch.Tensor], like: torch.Tensor) -> dict[str, torch.Tensor]:
    """Ids and mask, on the device of `like`."""
    return {name: tokens[name].to(like.device) for name in ("input_ids", "attention_mask")}


def _under(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
