"""The two main commands at SDXL's shape, with a reward of the user's own: distil, tune, resume, generate."""

import json

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from finetune.generators.pipeline import load_generator
from finetune.lora import attach_lora, lora_state, save_lora
from surrogate.store import LabelledStore

PROMPTS = "\n".join(f"a {color} {thing}" for color in ("red", "blue", "green") for thing in ("cat", "dog", "tree", "boat"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "own.py").write_text("def light(images):\n    return images.mean((1, 2, 3))\n")
    (folder / "prompts.txt").write_text(PROMPTS)
    return folder


def test_distill_finetune_generate(lasro, place, tiny_sdxl):
    common = ["--generator", tiny_sdxl, "--prompts", place / "prompts.txt"]
    distill = ["distill", "--reward", f"{place}/own.py:light", *common, "--samples", 48, "--steps", 4, "--out", place / "d"]
    code, result, err = lasro(*distill, "--json")
    assert code == 0, err
    assert result["reward_calls"] == 48
    assert "for more labels" not in err
    assert 0 <= result["pairwise"]["accuracy"] <= 1
    for name in ("surrogate/model.safetensors", "surrogate/README.md", "labels/meta.json", "config.yaml", "summary.json"):
        assert (place / "d" / name).is_file(), name

    code, again, err = lasro(*distill, "--json", "--resume")
    assert code == 0, err
    assert again["reward_calls"] == 0  # every label was there
    assert again["pairwise"] == result["pairwise"]  # same seed, same numbers

    tune = ["finetune", "--surrogate", place / "d" / "surrogate", "--prompts", place / "prompts.txt"]
    tune += ["--eval-prompts", place / "prompts.txt", "--steps", 2, "--batch-size", 2, "--out", place / "f"]
    code, tuned, err = lasro(*tune, "--json")
    assert code == 0, err
    assert {"before", "after", "ci95"} <= set(tuned["reward"])
    records = [json.loads(line) for line in (place / "f" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [0, 1, 2]

    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, variant="fp16", dtype=torch.float32)
    pipeline.load_lora_weights(place / "f" / "adapter")

    small = ["--prompts", place / "prompts.txt", "--max-prompts", 4, "--noises", 2, "--gradient-samples", 4, "--json"]
    for more, name in ([], "fidelity.json"), (["--adapter", place / "f" / "adapter"], "drift.json"):
        code, found, err = lasro("evaluate", "--surrogate", place / "d" / "surrogate", *small, *more)
        assert code == 0, err
        assert {"accuracy", "ceiling", "ci95"} <= set(found["pairwise"])
        assert {"gain", "random_gain", "ci95"} <= set(found["gradient"])
        assert found["labels"] == 48
        assert found["reward_calls"] == 16 + 16 + 4 * 2 * 3
        assert json.loads((place / "d" / "surrogate" / name).read_text())["verdict"] == found["verdict"]

    out = place / "picture.png"
    generate = ["generate", "--generator", tiny_sdxl, "--prompt", "a red cat", "--out", out]
    assert lasro(*generate, "--adapter", place / "f" / "adapter")[0] == 0
    with Image.open(out) as picture:
        assert picture.size == (128, 128)
    assert lasro(*generate)[0] == 2  # exists
    for search in (["--best-of", 3], ["--optimize-noise", 2]):
        code, _, err = lasro(*generate, "--overwrite", *search, "--surrogate", place / "d" / "surrogate")
        assert code == 0, err
        assert "surrogate score" in err
    assert lasro(*generate, "--overwrite", "--seed", 1, "--seed", 2)[0] == 0


def test_labels_first_and_training_later_is_the_same(lasro, place, tiny_sdxl):
    common = ["--generator", tiny_sdxl, "--prompts", place / "prompts.txt", "--samples", 48, "--json"]
    code, labelled, err = lasro("label", "--reward", f"{place}/own.py:light", *common, "--out", place / "l")
    assert code == 0, err
    assert (labelled["labels"], labelled["reward_calls"]) == (48, 48)
    code, trained, err = lasro("distill", "--data", place / "l", "--steps", 4, "--out", place / "t", "--json")
    assert code == 0, err
    assert trained["reward_calls"] == 0
    direct = json.loads((place / "d" / "summary.json").read_text())
    assert trained["pairwise"] == direct["pairwise"]
    weights = [(place / run / "surrogate" / "model.safetensors").read_bytes() for run in ("d", "t")]
    assert weights[0] == weights[1]
    tune = ["finetune", "--surrogate", place / "t" / "surrogate", "--prompts", place / "prompts.txt", "--steps", 1]
    code, _, err = lasro(*tune, "--eval-prompts", place / "prompts.txt", "--batch-size", 2, "--out", place / "g")
    assert code == 0, err


def test_labels_of_a_tuned_generator(lasro, place, tiny_sdxl):
    unet, adapter = load_generator(str(tiny_sdxl)).unet, place / "adapter"
    for parameter in attach_lora(unet, rank=4, targets="attention", seed=0):
        torch.nn.init.normal_(parameter, std=0.3)
    save_lora(lora_state(unet), adapter)

    label = ["label", "--reward", f"{place}/own.py:light", "--generator", tiny_sdxl, "--prompts", place / "prompts.txt"]
    label += ["--samples", 100, "--noises", 2, "--json", "--out"]
    code, labelled, err = lasro(*label, place / "untuned")
    assert (code, labelled["labels"]) == (0, 48)
    assert "--samples 100: all prompts, with 2 noises each, make 48; for more labels give more prompts" in err
    code, _, err = lasro(*label, place / "tuned", "--adapter", adapter)
    assert code == 0, err
    stores = [LabelledStore.open(place / run / "labels") for run in ("untuned", "tuned")]
    rows = [store.table("prompt", "seed", "stage").to_pylist() for store in stores]
    assert rows[0] == rows[1]
    untuned, tuned = (store.latents()[torch.arange(len(store))] for store in stores)
    assert not torch.equal(untuned, tuned)  # the same prompts and noises, painted by another
    code, _, err = lasro(*label, place / "tuned", "--resume")
    assert code == 2
    assert "adapter" in err

    both = ["--data", place / "untuned", "--data", place / "tuned"]
    code, _, err = lasro("distill", *both, "--steps", 2, "--out", place / "both")
    assert code == 0, err
    assert f"`{tiny_sdxl}`, `{tiny_sdxl} + {adapter}`" in (place / "both" / "surrogate" / "README.md").read_text()

    code, _, err = lasro(*label, place / "none", "--adapter", place / "nowhere")
    assert code == 2
    assert "pytorch_lora_weights.safetensors is missing" in err


def test_scores_of_files(lasro, place):
    Image.new("RGB", (20, 10), (255, 255, 255)).save(place / "white.png")
    Image.new("RGB", (10, 20), (0, 0, 0)).save(place / "black.png")
    code, rows, _ = lasro("rewards", "score", place / "white.png", place / "black.png", "--reward", "brightness", "--json")
    assert code == 0
    assert [round(row["score"], 3) for row in rows] == [1.0, 0.0]


def test_list_and_info(lasro):
    code, cards, _ = lasro("rewards", "list", "--json")
    assert code == 0
    assert {"ocr", "symmetry"} <= {card["name"] for card in cards}
    code, cards, _ = lasro("rewards", "list", "--differentiable", "--json")
    assert {card["name"] for card in cards} >= {"brightness", "symmetry"}
    assert "ocr" not in {card["name"] for card in cards}
    code, card, _ = lasro("rewards", "info", "ocr", "--json")
    assert card["needs"] == ["target"]
