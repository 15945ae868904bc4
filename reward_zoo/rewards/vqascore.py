"""`vqascore`: a vision-language model is asked whether the image shows the prompt; the score is how surely it says "Yes"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from reward_zoo.card import RewardCard
from reward_zoo.errors import SpecError
from reward_zoo.preprocessing import resize
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import hub_weights
from reward_zoo.rewards.clip_models import MODEL_FILES, load_model
from reward_zoo.scores import Scores
from reward_zoo.weights import weight_folder

if TYPE_CHECKING:
    from pathlib import Path

    import torch

QWEN_VL = "Qwen/Qwen2.5-VL-7B-Instruct"
QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
Precision = Literal["bfloat16", "float32"]


class VqaScore(Reward):
    """P("Yes") as the first word of the answer, by any image-text-to-text model of transformers."""

    card = RewardCard(
        name="vqascore",
        summary='does the image show the prompt: P("Yes") of a vision-language model (VQAScore)',
        range=(0.0, 1.0),
        typical=(0.6, 0.3),
        differentiable=True,
        needs=("prompt",),
        image_size="any; resized as the model's own processor does, aspect kept",
        source="VQAScore (Lin et al., 2024), its question; there CLIP-FlanT5, here Qwen2.5-VL or, with model=ORG/NAME, "
        "another instruct model of the hub: scores compare within one model only",
        license="Apache-2.0 (Qwen2.5-VL-7B; the 3B is research only)",
        weights=(hub_weights(QWEN_VL, "model.safetensors.index.json", 16_600_000_000),),
        components=("no",),
    )

    def __init__(
        self, *, model: str = QWEN_VL, weights: str | None = None, question: str = QUESTION, dtype: Precision = "bfloat16"
    ) -> None:
        if "{}" not in question:
            raise SpecError(f"vqascore: option question={question!r} has no {{}} for the prompt")
        from transformers import AutoProcessor

        folder = weight_folder(model, reward=self.card.name, given=weights, patterns=(*MODEL_FILES, "*.jinja"))
        self.model = self._load(folder, dtype)
        self.processor: Any = load_model(AutoProcessor, folder, self.card.name)
        encode = self.processor.tokenizer.encode
        self.yes, self.no = (encode(word, add_special_tokens=False)[0] for word in ("Yes", "No"))
        self.question = question

    def _load(self, folder: Path, dtype: Precision) -> Any:  # noqa: ANN401 - whichever model the folder holds
        import torch
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as KINDS

        config = load_model(AutoConfig, folder, self.card.name)
        if type(config) not in KINDS:
            raise SpecError(f"vqascore: {folder} holds a {config.model_type}, which does not answer questions about images")
        model = load_model(KINDS[type(config)], folder, self.card.name)
        return model.to(getattr(torch, dtype)).eval().requires_grad_(False)

    def score(self, inputs: RewardInputs) -> Scores:
        """P("Yes") among all words; P("No") is a component."""
        logits = self.model.to(inputs.images.device)(**self._batch(inputs), use_cache=False, logits_to_keep=1).logits
        answers = logits[:, -1].float().softmax(1)
        return Scores(values=answers[:, self.yes], components={"no": answers[:, self.no].detach().cpu()})

    def _batch(self, inputs: RewardInputs) -> dict[str, torch.Tensor]:
        asked = [self.question.replace("{}", prompt) for prompt in inputs.prompts]
        parts = [[{"type": "image"}, {"type": "text", "text": text}] for text in asked]
        chats = [[{"role": "user", "content": content}] for content in parts]
        batch = self.processor(
            text=self.processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False),
            images=[[image] for image in fit(inputs.images, self.processor.image_processor)],
            do_rescale=False,  # they are in [0, 1] already
            padding=True,
            padding_side="left",  # the last place is every answer's first word
            return_tensors="pt",
        )
        batch = {name: value.to(inputs.images.device) for name, value in batch.items()}
        return batch | {"pixel_values": batch["pixel_values"].to(self.model.dtype)}


def fit(images: torch.Tensor, processor: Any, pixels: int | None = None) -> torch.Tensor:  # noqa: ANN401 - an image processor
    """Resized as Qwen's image processors would, who on floats forget to cut bicubic overshoot; others' images as they are.

    `pixels` replaces the processor's own bounds: about so many in all.
    """
    from transformers import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    if not isinstance(processor, Qwen2VLImageProcessor):
        return images
    unit, bounds = processor.patch_size * processor.merge_size, processor.size
    least, most = (pixels, pixels) if pixels else (bounds["shortest_edge"], bounds["longest_edge"])
    return resize(images, *smart_resize(*images.shape[-2:], unit, least, most))
