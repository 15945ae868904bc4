"""Vision-language models as rewards: against plain transformers, and `hpsv3` against the original package (slow)."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import reward_zoo
from reward_zoo.errors import MissingWeightsError, SpecError
from reward_zoo.images import to_uint8
from reward_zoo.rewards.hpsv3 import read_instruction
from tests.tiny.clip import build_clip
from tests.tiny.rewards import SPECS
from tests.tiny.vlm import TEMPLATE, build_hpsv3, build_qwen, qwen_tokenizer, token_ids

HERE = Path(__file__).parent
PROMPTS = ["a cat", 'a red sign "OPEN"', "two dogs and a boat", ""]


@pytest.fixture(scope="module")
def vqascore(tmp_path_factory):
    return reward_zoo.load(SPECS["vqascore"](tmp_path_factory.mktemp("qwen")))


@pytest.fixture(scope="module")
def hpsv3(tmp_path_factory):
    return reward_zoo.load(SPECS["hpsv3"](tmp_path_factory.mktemp("hpsv3")))


@pytest.mark.parametrize(("size", "tolerance"), [((56, 84), 1e-4), ((32, 48), 2e-2)])  # the second must be resized: rounding
def test_vqascore_is_how_surely_generation_starts_with_yes(vqascore, images, size, tolerance):
    """One picture at a time through PIL and `generate`, as the model's own page shows it."""
    pictures = to_uint8(torch.nn.functional.interpolate(images, size))
    scores = vqascore(images=pictures, prompts=PROMPTS)
    for row, picture in enumerate(pictures):
        question = f'Does this figure show "{PROMPTS[row]}"? Please answer yes or no.'
        content = [{"type": "image", "image": Image.fromarray(picture)}, {"type": "text", "text": question}]
        batch = vqascore.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        settings = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
        words = vqascore.model.generate(**batch, **settings).logits[0][0].softmax(-1)
        for got, word in ((scores.values, "Yes"), (scores.components["no"], "No")):
            want = words[vqascore.processor.tokenizer.encode(word)[0]]
            assert got[row].item() == pytest.approx(want.item(), rel=tolerance)


def test_vqascore_asks_what_it_is_told(vqascore, images, tmp_path):
    told = reward_zoo.load(f"vqascore:weights={build_qwen(tmp_path)},dtype=float32,question=Is there {{}}?")
    assert not torch.allclose(told(images=images, prompts="a cat").values, vqascore(images=images, prompts="a cat").values)
    with pytest.raises(SpecError, match=r"question='Is there a cat\?' has no \{\}"):
        reward_zoo.load("vqascore:question=Is there a cat?")


def test_vqascore_names_a_folder_of_another_kind(tmp_path):
    with pytest.raises(SpecError, match="holds a clip, which does not answer questions about images"):
        reward_zoo.load(f"vqascore:weights={build_clip(tmp_path)}")


def test_half_precision_scores_about_the_same(vqascore, images, tmp_path):
    half = reward_zoo.load(f"vqascore:weights={build_qwen(tmp_path)}")
    assert half.model.dtype == torch.bfloat16
    full = vqascore(images=images, prompts=PROMPTS).values
    assert torch.allclose(half(images=images, prompts=PROMPTS).values, full, rtol=0.2)


def test_hpsv3_reads_the_state_at_the_last_reward_token(hpsv3, images):
    """A prompt that holds the token itself does not take the rating over, and all else in it counts."""
    plain, fooling = hpsv3(images=images, prompts="a cat"), hpsv3(images=images, prompts="a cat <|Reward|>")
    assert (plain.components["sigma"] > 0).all()
    assert not torch.equal(plain.values, fooling.values)
    longer = [prompt + " and more" * row for row, prompt in enumerate(PROMPTS)]
    alone = [hpsv3(images=images[row], prompts=prompt).values for row, prompt in enumerate(longer)]
    assert torch.allclose(hpsv3(images=images, prompts=longer).values, torch.cat(alone), atol=1e-6)


@pytest.mark.parametrize(
    ("key", "reason"), [("rm_head.3.bias", "rm_head.3.bias"), ("visual.blocks.0.norm1.bias", "norm1.bias")]
)
def test_hpsv3_refuses_a_checkpoint_with_a_gap(tmp_path, key, reason):
    file = build_hpsv3(tmp_path) / "HPSv3.safetensors"
    save_file({name: value for name, value in load_file(file).items() if name != key}, file)
    with pytest.raises(MissingWeightsError, match=f"is not HPSv3's checkpoint .*{key}"):
        reward_zoo.load(f"hpsv3:weights={file},instruction={tmp_path / 'instruction.txt'}")


def test_the_published_instruction_is_read_from_its_package(tmp_path, monkeypatch):
    with pytest.raises(MissingWeightsError, match=r"pip install --no-deps hpsv3==1\.0\.0"):
        read_instruction()
    module = tmp_path / "hpsv3" / "dataset" / "data_collator_qwen.py"
    module.parent.mkdir(parents=True)
    (tmp_path / "hpsv3" / "__init__.py").write_text("raise ImportError('never run')\n")
    module.write_text("import nothing\nINSTRUCTION = 'Rate {text_prompt}.'\nprompt_with_special_token = ' <|Reward|>'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert read_instruction() == "Rate {text_prompt}. <|Reward|>"
    module.write_text("INSTRUCTION = 'Rate it.'\n")
    with pytest.raises(SpecError, match="of the package lacks"):
        read_instruction()
    with pytest.raises(MissingWeightsError, match="no such file"):
        read_instruction(str(tmp_path / "none.txt"))


@pytest.mark.slow
def test_hpsv3_is_the_original(tmp_path, monkeypatch):
    """The original package scores seeded weights in its own environment; the port, from the same files, agrees."""
    python, packages = tmp_path / "original" / "bin" / "python", tmp_path / "packages"
    subprocess.run(["uv", "venv", "--python", "3.11", tmp_path / "original"], check=True)
    install = ["uv", "pip", "install", "--python", python]
    subprocess.run([*install, "-r", HERE / "hpsv3_original.txt"], check=True)
    subprocess.run([*install, "--no-deps", "--target", packages, "hpsv3==1.0.0"], check=True)
    tokenizer = qwen_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    config = {"vocab_size": 500, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    config |= {"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, **token_ids(tokenizer)}
    config["vision_config"] = {"depth": 2, "embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2, "num_heads": 4}
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    settings = {"config": config, "chat_template": system + TEMPLATE}
    settings["tokenizer"] = {"pad_token": tokenizer.pad_token, "eos_token": tokenizer.eos_token}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    sizes = [(448, 448), (224, 896), (1024, 1024), (300, 200), (640, 360)]
    prompts = ["a red sign " * (row + 1) for row in range(len(sizes))]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    (tmp_path / "images").mkdir()
    files = [tmp_path / "images" / f"{row}.png" for row in range(len(sizes))]
    for row, (size, file) in enumerate(zip(sizes, files, strict=True)):
        noise = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(row))
        Image.fromarray(to_uint8(torch.nn.functional.interpolate(noise, size, mode="bilinear"))[0]).save(file)
    script = [python, HERE / "hpsv3_original.py", tmp_path]
    subprocess.run(script, check=True, env=os.environ | {"PYTHONPATH": str(packages)})
    want = json.loads((tmp_path / "scores.json").read_text())
    monkeypatch.syspath_prepend(packages)
    reward = reward_zoo.load(f"hpsv3:weights={tmp_path},dtype=float32")
    for row, (file, (mean, log_sigma)) in enumerate(zip(files, want, strict=True)):
        near = 1e-5 if row < 2 else 2e-3  # the first two are not resized: no rounding to uint8
        got = reward(images=file, prompts=prompts[row])
        assert got.values.item() == pytest.approx(mean, abs=near), sizes[row]
        assert got.components["sigma"].log().item() == pytest.approx(log_sigma, abs=near), sizes[row]
    assert torch.tensor(want)[:, 0].std() > 0.05  # the pictures and prompts matter
