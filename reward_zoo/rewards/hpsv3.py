"""`hpsv3`: Human Preference Score v3, a Qwen2-VL-7B that reads an image, a prompt and a long instruction, and rates."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import MissingWeightsError, SpecError
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import hub_weights
from reward_zoo.rewards.clip_models import TEXT_FILES, load_model, read_state
from reward_zoo.rewards.vqascore import Precision, fit
from reward_zoo.scores import Scores
from reward_zoo.weights import weight_file, weight_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

HPS3 = "MizzenAI/HPSv3"
QWEN2_VL = "Qwen/Qwen2-VL-7B-Instruct"
PIXELS = 256 * 28 * 28
REWARD_TOKEN = "<|Reward|>"  # noqa: S105 - not a secret
INSTALL = "pip install --no-deps hpsv3==1.0.0"
CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>{image}<|vision_end|>"
    "{text}<|im_end|>\n<|im_start|>assistant\n"
)


class HpsV3(Reward):
    """HPSv3's published checkpoint in transformers' Qwen2-VL, with gradient to the pixels."""

    card = RewardCard(
        name="hpsv3",
        summary="which image would people prefer for this prompt (HPDv3)",
        range=(float("-inf"), float("inf")),
        typical=(7.0, 3.0),
        differentiable=True,
        needs=("prompt",),
        image_size="any; resized to about 448×448 pixels in all, aspect kept",
        source="HPSv3 (Ma et al., 2025): μ of the head at the reward token; its instruction is read from its package, which is "
        "never imported",
        license="MIT (HPSv3), Apache-2.0 (Qwen2-VL-7B)",
        weights=(
            hub_weights(HPS3, "HPSv3.safetensors", 16_500_000_000),
            hub_weights(QWEN2_VL, "tokenizer.json", 7_030_000),
            Weights("hpsv3 (its wheel)", "hpsv3/dataset/data_collator_qwen.py", 18_000, INSTALL),
        ),
        components=("sigma",),
    )

    def __init__(self, *, weights: str | None = None, instruction: str | None = None, dtype: Precision = "bfloat16") -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        name = self.card.name
        self.instruction = read_instruction(instruction)
        file = weight_file(HPS3, "HPSv3.safetensors", reward=name, given=weights)
        beside = file.parent if (file.parent / "config.json").is_file() else None
        base = beside or weight_folder(QWEN2_VL, reward=name, patterns=TEXT_FILES)
        self.tokenizer: Any = load_model(AutoTokenizer, base, name)
        self.tokenizer.add_tokens([REWARD_TOKEN], special_tokens=True)
        self.processor: Any = load_model(AutoImageProcessor, base, name)
        try:
            self.model, self.head = build(read_state(file), base, dtype)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise MissingWeightsError(f"{name}: {file} is not HPSv3's checkpoint ({reason})") from error

    def score(self, inputs: RewardInputs) -> Scores:
        """μ, unbounded; the component `sigma` is how unsure the model is of it, in the same unit."""
        import torch

        device = inputs.images.device
        fitted = list(fit(inputs.images, self.processor, PIXELS))
        pixels = self.processor(images=fitted, do_resize=False, do_rescale=False, return_tensors="pt")
        tokens = self._tokens(inputs.prompts, pixels["image_grid_thw"]).to(device)
        ids = tokens["input_ids"]
        read = self.model.to(device)(
            input_ids=ids,
            attention_mask=tokens["attention_mask"],
            position_ids=torch.arange(ids.shape[1], device=device).expand(3, *ids.shape),  # as trained: no places in the image
            pixel_values=pixels["pixel_values"].to(self.model.dtype),
            image_grid_thw=pixels["image_grid_thw"].to(device),
            use_cache=False,
        ).last_hidden_state
        place = ids.shape[1] - 1 - (ids == self.reward_token).int().flip(1).argmax(1)
        found = self.head.to(device)(read[torch.arange(len(ids), device=device), place].float())
        return Scores(values=found[:, 0], components={"sigma": found[:, 1].exp().detach().cpu()})

    @property
    def reward_token(self) -> int:
        """The id of the token whose state the head reads."""
        return self.tokenizer.convert_tokens_to_ids(REWARD_TOKEN)

    def _tokens(self, prompts: list[str], grids: torch.Tensor) -> Any:  # noqa: ANN401 - transformers' BatchEncoding
        counts = grids.prod(1) // self.processor.merge_size**2
        texts = [
            CHAT.replace("{image}", "<|image_pad|>" * count)
            .replace("{text}", self.instruction)
            .replace("{text_prompt}", prompt)
            for prompt, count in zip(prompts, counts.tolist(), strict=True)
        ]
        return self.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")


def read_instruction(file: str | None = None) -> str:
    """What the model is told, with {text_prompt} and the reward token in it: a text file's, or the published package's.

    The package pins an old transformers, so its source is parsed, not run. The checkpoint knows this one wording.

    Raises:
        MissingWeightsError: the file or the package is not on this machine.
        SpecError: the text lacks one of the two.
    """
    if file is not None:
        path = Path(file).expanduser()
        if not path.is_file():
            raise MissingWeightsError(f"hpsv3: option instruction={file}: no such file; {INSTALL} brings the published one")
        text = path.read_text()
    else:
        package = find_spec("hpsv3")
        if package is None or not package.submodule_search_locations:
            raise MissingWeightsError(f"hpsv3: the published instruction is missing: {INSTALL} (or give instruction=FILE)")
        source = Path(package.submodule_search_locations[0]) / "dataset" / "data_collator_qwen.py"
        texts = _texts_in(source)
        text = texts.get("INSTRUCTION", "") + texts.get("prompt_with_special_token", "")
    if "{text_prompt}" not in text or REWARD_TOKEN not in text:
        raise SpecError(f"hpsv3: instruction={file or 'of the package'} lacks {{text_prompt}} or {REWARD_TOKEN}; {INSTALL}")
    return text


def _texts_in(source: Path) -> dict[str, str]:
    """The strings a module assigns to names of its own."""
    found = {}
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def build(state: dict[str, torch.Tensor], base: Path, dtype: Precision) -> tuple[nn.Module, nn.Module]:
    """Qwen2-VL and the head from a state dict of the published format (transformers 4.45's names, `rm_head` beside them).

    Raises:
        KeyError, RuntimeError: the state dict is of another model.
    """
    import torch
    from torch import nn
    from transformers import Qwen2VLConfig, Qwen2VLModel

    config = Qwen2VLConfig.from_pretrained(base)
    config.text_config.vocab_size = len(state["model.embed_tokens.weight"])  # cut to the tokens in use, plus the reward token
    backbone = {key: value for key, value in state.items() if key.startswith("visual.")}
    backbone |= {f"language_{key}": value for key, value in state.items() if key.startswith("model.")}
    model, report = Qwen2VLModel.from_pretrained(
        None, config=config, state_dict=backbone, dtype=getattr(torch, dtype), output_loading_info=True
    )
    if report["missing_keys"]:  # transformers would leave them random
        raise KeyError(min(report["missing_keys"]))
    layers = {place: _linear(state, f"rm_head.{place}.") for place in (0, 3, 5)}
    head = nn.Sequential(layers[0], nn.ReLU(), layers[3], nn.ReLU(), layers[5])
    return model.eval().requires_grad_(False), head.eval().requires_grad_(False)


def _linear(state: dict[str, torch.Tensor], prefix: str) -> nn.Linear:
    from torch import nn

    weight, bias = state[f"{prefix}weight"].float(), state[f"{prefix}bias"].float()
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
