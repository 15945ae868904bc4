"""MPS against its formula, written out by hand on the checkpoint's own names."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTokenizer

import reward_zoo
from reward_zoo.errors import MissingWeightsError
from reward_zoo.rewards.mps import CONDITION
from tests.tiny.clip import build_mps

PROMPTS = ["a red sign", "two cats on a mat"]


@pytest.mark.parametrize("threshold", [0.01, 0.9])
def test_mps_is_its_formula(tmp_path, threshold):
    """The cross model in plain sums: multi-query attention over visible words, then rotary self-attention."""
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    file, folder = build_mps(tmp_path)
    state, model, tokenizer = load_file(file), CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)

    def text(prompt):
        tokens = tokenizer([prompt], padding="max_length", truncation=True, max_length=77, return_tensors="pt")["input_ids"]
        found = model.text_model(tokens)
        return model.text_projection(found.last_hidden_state)[0], model.text_projection(found.pooler_output)[0]

    def attention(query, key, value, mask=0.0):
        heads = [query[:, 4 * h : 4 * h + 4] @ key.T / 2 + mask for h in range(2)]
        return torch.cat([logits.softmax(1) @ value for logits in heads], 1)

    def rotated(x):  # pairs (i, i + 2) of 4 numbers, as complex numbers turned by position · 10000^(-i/2)
        turn = torch.arange(len(x))[:, None] * torch.tensor([1.0, 0.01])
        parts = [torch.complex(part[:, :2], part[:, 2:]) * torch.polar(torch.ones_like(turn), turn) for part in x.split(4, 1)]
        return torch.cat([torch.cat([part.real, part.imag], 1) for part in parts], 1)

    def gated(x):
        return x[:, :24] * torch.nn.functional.silu(x[:, 24:])

    def score(pixel, prompt):
        words, meaning = text(prompt)
        likeness = (words @ text(CONDITION)[0].T).max(1).values
        mask = torch.where(likeness / likeness.max() > threshold, 0.0, -torch.inf)
        mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
        found = model.vision_model((pixel[None] - mean[:, None, None]) / std[:, None, None])
        x = model.visual_projection(found.last_hidden_state)[0]
        for layer in range(2):
            names = f"mps.cross_model.layers.{layer}."
            w = {key.removeprefix(names).removesuffix(".weight"): value for key, value in state.items() if names in key}
            y = torch.nn.functional.layer_norm(x, (12,), w["0.fn.norm"])
            key, value = (words @ w["0.fn.to_kv"].T).chunk(2, 1)
            seen = attention(y @ w["0.fn.to_q"].T, key, value, mask)
            x = x + seen @ w["0.fn.to_out"].T + gated(y @ w["0.fn.ff.0"].T) @ w["0.fn.ff.2"].T
            y = torch.nn.functional.layer_norm(x, (12,), w["1.fn.norm"])
            query, key, value, ff = (y @ w["1.fn.fused_attn_ff_proj"].T).split((8, 4, 4, 48), 1)
            seen = attention(rotated(query), rotated(key), value)
            x = x + seen @ w["1.fn.attn_out"].T + gated(ff) @ w["1.fn.ff_out.1"].T
        return model.logit_scale.exp() * torch.cosine_similarity(x[0], meaning, dim=0)

    with torch.no_grad():
        want = torch.stack([score(pixel, prompt) for pixel, prompt in zip(pixels, PROMPTS, strict=True)])
    reward = reward_zoo.load(f"mps:weights={file},clip={folder},threshold={threshold}")
    assert torch.allclose(reward(images=pixels, prompts=PROMPTS).values, want, atol=1e-4)


def test_a_file_that_lacks_a_part_is_named(tmp_path):
    file, folder = build_mps(tmp_path)
    state = load_file(file)
    for lost in ("mps.model.visual_projection.weight", "mps.cross_model.layers.1.0.fn.to_q.weight"):
        save_file({key: value for key, value in state.items() if key != lost}, tmp_path / "part.safetensors")
        with pytest.raises(MissingWeightsError, match=f"not MPS's checkpoint.*{lost.split('.', 2)[2]}"):
            reward_zoo.load(f"mps:weights={tmp_path / 'part.safetensors'},clip={folder}")
