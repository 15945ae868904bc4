"""BLIP's rewards; `image_reward` against the original package in an environment of its own (slow)."""

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import MissingWeightsError, SpecError
from reward_zoo.images import to_uint8
from reward_zoo.isolation.environment import Environment
from reward_zoo.registry import card_of
from reward_zoo.rewards.blip import noun_phrases
from tests.tiny.blip import VOCABULARY, build_blip, build_image_reward
from tests.tiny.rewards import SPECS

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def vqa(tmp_path_factory):
    return reward_zoo.load(SPECS["blip_vqa"](tmp_path_factory.mktemp("vqa")))


def test_vqa_multiplies_over_the_phrases(vqa, images):
    prompts = "a red cat and a sign"
    both = vqa(images=images, prompts=prompts)
    parts = [vqa(images=images, prompts=part).values for part in ("a red cat", "a sign")]
    assert torch.allclose(both.values, parts[0] * parts[1], rtol=1e-4)
    assert both.components["phrases"].tolist() == [2.0] * 4
    given = vqa(images=images, prompts=prompts, metadata=[{"phrases": ["a sign"]}] * 4)
    assert torch.allclose(given.values, parts[1], rtol=1e-4)


def test_vqa_asks_as_the_benchmark_does(vqa, images):
    """[ENC] before the question, "yes" against "no", larger pictures than the weights' own."""
    model, tokenizer = vqa.model, vqa.tokenizer
    pixels = torch.nn.functional.interpolate(images, (48, 48), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    tokens = tokenizer(["a cat?"] * 4, return_tensors="pt")
    tokens["input_ids"][:, 0] = tokenizer.convert_tokens_to_ids("[ENC]")
    answer = model.generate(
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        pixel_values=(pixels - mean[:, None, None]) / std[:, None, None],
        interpolate_pos_encoding=True,
        max_new_tokens=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    yes, no = answer.logits[0].softmax(-1)[:, tokenizer.convert_tokens_to_ids(["yes", "no"])].T
    assert torch.allclose(vqa(images=images, prompts="(A cat).").values, yes / (yes + no), rtol=1e-3)


def test_vqa_takes_whole_patches(tmp_path):
    with pytest.raises(SpecError, match="image_size=50: must be a multiple of 8"):
        reward_zoo.load(SPECS["blip_vqa"](tmp_path).replace("image_size=48", "image_size=50"))


def test_captioning_compares_a_greedy_caption_with_the_prompt(tmp_path, images):
    reward = reward_zoo.load(SPECS["captioning_alignment"](tmp_path))
    first = reward(images=images, prompts="a red sign")
    assert len(set(first.perceived)) > 1
    assert not any("[" in caption for caption in first.perceived)  # no signs, only words
    repeated = reward(images=images, prompts=first.perceived)
    assert torch.allclose(repeated.values, torch.ones(4), atol=1e-5)
    clip, row = reward_zoo.load(f"clip_score:weights={tmp_path / 'clip'}").model, 2
    tokens = [clip.tokenizer(text, return_tensors="pt") for text in ("a red sign", first.perceived[row])]
    said = [clip.model.get_text_features(**each).pooler_output for each in tokens]
    assert first.values[row].item() == pytest.approx(torch.cosine_similarity(*said).item(), abs=1e-5)
    short = reward_zoo.load(f"captioning_alignment:weights={tmp_path},clip={tmp_path / 'clip'},max_new_tokens=3")
    captions = short(images=images, prompts="a").perceived
    assert all(whole.startswith(caption) for caption, whole in zip(captions, first.perceived, strict=True))
    assert captions != first.perceived


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("a red book and a yellow vase", ["a red book", "a yellow vase"]),
        ("a candy sandy beach, with waves.", ["a candy sandy beach", "waves"]),
        ("and", ["and"]),
    ],
)
def test_noun_phrases(prompt, phrases):
    assert noun_phrases(prompt) == phrases


def test_a_long_prompt_is_cut_at_35_tokens_and_says_so(tmp_path, images):
    reward = reward_zoo.load(f"image_reward:weights={build_image_reward(tmp_path)}")
    scores = reward(images=images, prompts=["a cat", "a red sign " * 20, "a " * 33, "a " * 34])
    assert scores.components["prompt_truncated"].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_another_checkpoint_is_named(tmp_path):
    from transformers import BlipForImageTextRetrieval

    folder = build_blip(BlipForImageTextRetrieval, tmp_path)
    shutil.copy(folder / "model.safetensors", folder / "ImageReward.pt")
    with pytest.raises(MissingWeightsError, match="is not ImageReward's checkpoint"):
        reward_zoo.load(f"image_reward:weights={folder}")
    with pytest.raises(MissingWeightsError, match=r"config\.json is missing"):
        reward_zoo.load(f"blip_itm:weights={tmp_path / 'nothing'}")


@pytest.mark.slow
def test_image_reward_is_the_original(tmp_path, monkeypatch):
    """Seeded weights in the original format: the package by itself, as a reward in its own environment, and the port agree."""
    monkeypatch.setenv("LASRO_CACHE", str(tmp_path / "cache"))
    card = card_of("image_reward_original")
    python = Environment(card.requirements, card.python).build(card.name)
    (tmp_path / "images").mkdir()
    images = torch.rand(32, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear")
    for number, array in enumerate(to_uint8(images)):
        Image.fromarray(array).save(tmp_path / "images" / f"{number:02d}.png")
    words = [word for word in VOCABULARY if word.isalpha()]
    prompts = [" ".join(words[(number * step) % len(words)] for step in range(1, 3 + 2 * number)) for number in range(32)]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    filler = [f"[unused{number}]" for number in range(30522 - len(VOCABULARY) + 2)]
    (tmp_path / "vocab.txt").write_text("\n".join([*(word for word in VOCABULARY if word not in ("[DEC]", "[ENC]")), *filler]))
    subprocess.run([python, HERE / "image_reward_original.py", tmp_path], check=True, cwd=tmp_path)
    want = torch.tensor(json.loads((tmp_path / "scores.json").read_text()))
    rounded = torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2) / 255
    original = reward_zoo.load(f"isolated:image_reward_original:weights={tmp_path}")
    assert torch.equal(original(images=rounded, prompts=prompts).values, want)
    del original
    reward = reward_zoo.load(f"image_reward:weights={tmp_path}")
    with torch.no_grad():
        got = reward(images=rounded, prompts=prompts)
    assert want.std() > 0.01  # the images and prompts matter
    assert (got.values - want).abs().max() <= 1e-4
    assert got.components["prompt_truncated"].any()
    here = {name: int(version(name).split(".")[0]) for name in ("open-clip-torch", "timm", "transformers")}
    assert here["open-clip-torch"] >= 3
    assert here["timm"] >= 1
    assert here["transformers"] >= 5
