"""Weights for machines without network: fetched from a (fake) hub that HF_ENDPOINT names, used from a folder alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import reward_zoo
from reward_zoo.weights import FOLDER_VARIABLE
from tests.tiny.clip import build_clip
from tests.tiny.hub import hub

CLIP = "openai/clip-vit-large-patch14"


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    """--weights sets it for the process."""
    monkeypatch.setenv(FOLDER_VARIABLE, "")


def fetch(endpoint, home, *arguments, offline="0"):
    """`lasro download` in a process of its own: the hub's library reads its variables when it is imported."""
    told = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    told |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "cli", "download", *map(str, arguments), "--json"]
    return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory, base, weights):
    """What the hub has: more than is wanted of it."""
    folder = tmp_path_factory.mktemp("hub")
    clip = build_clip(folder / "clip")
    (clip / "pytorch_model.bin").write_bytes(b"the same in another format")
    whole = base / "unet" / "diffusion_pytorch_model.safetensors"
    whole.write_bytes(b"the same in twice the bytes")
    yield {CLIP: clip, "me/base": base, "me/files": weights["unet.safetensors"].parent, "me/vae": weights["vae"]}
    whole.unlink()


@pytest.fixture(scope="module")
def place(tmp_path_factory, repositories):
    """A folder that was filled from the hub, with a preset that takes weights from several repositories."""
    place = tmp_path_factory.mktemp("offline")
    (place / "mine.yaml").write_text("source: me/base\nunet: me/files/unet.safetensors\nvae: me/vae\nsampler: euler\n")
    with hub(repositories) as (endpoint, asked):
        flags = ["--reward", "0.5*clip_score+0.5*ocr:mode=exact", "--generator", place / "mine.yaml", "--to", place / "weights"]
        done = fetch(endpoint, place / "home", *flags)
        assert done.returncode == 0, done.stderr
        (place / "found.json").write_text(done.stdout)
        assert asked  # the mirror, and nothing else: the home was empty
    return place


def test_only_what_is_loaded_is_fetched(place):
    files = json.loads((place / "found.json").read_text())["files"]
    assert all((place / "weights" / file).is_file() for file in files)
    assert "openai--clip-vit-large-patch14/model.safetensors" in files
    assert not [file for file in files if file.endswith(".bin")]
    nets = [file for file in files if file.startswith("me--base/") and file.endswith(".safetensors")]
    assert sorted(nets) == [f"me--base/text_encoder{part}/model.fp16.safetensors" for part in ("", "_2")]
    assert "me--base/unet/config.json" in files
    assert [file for file in files if file.startswith("me--files/")] == ["me--files/unet.safetensors"]


def test_a_machine_without_network_runs_on_the_folder(lasro, place, tmp_path):
    folder = ["--weights", place / "weights"]
    code, _, err = lasro(
        "generate", "--generator", place / "mine.yaml", "--prompt", "a cat", "--out", tmp_path / "a.png", *folder
    )
    assert code == 0, err
    code, found, err = lasro(
        "rewards", "score", tmp_path / "a.png", "--reward", "clip_score", "--prompt", "a cat", *folder, "--json"
    )
    assert code == 0, err
    code, found, _ = lasro("doctor", *folder, "--json")
    assert next(row for row in found if row["name"] == "clip_score")["state"] == "ready"


def test_without_the_folder_it_is_said_what_is_missing(lasro, place, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code, _, err = lasro("generate", "--generator", place / "mine.yaml", "--prompt", "a cat", "--out", tmp_path / "b.png")
    assert code == 2
    assert "source me/base cannot be loaded" in err
    code, _, err = lasro("rewards", "score", tmp_path / "a.png", "--reward", "clip_score", "--prompt", "a cat")
    assert code == 2
    assert f"${FOLDER_VARIABLE}/openai--clip-vit-large-patch14" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --reward SPEC, --generator NAME"),
        (["--reward", "clip_scor"], "did you mean 'clip_score'?"),
        (["--generator", "sdxl-tubro"], "did you mean 'sdxl-turbo'?"),
        (["--reward", "timm:resnet18?class=cat"], "give weights=FILE"),
        (["--reward", "open_clip_score:model=ViT-B-32"], "no card tells what model=ViT-B-32 loads"),
        (["--reward", "clip_score"], "HF_HUB_OFFLINE is set"),
    ],
)
def test_mistakes_are_named(lasro, tmp_path, arguments, message):
    code, out, err = lasro("download", "--to", tmp_path / "weights", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "weights").exists()


def test_a_repository_that_the_hub_lacks_is_one_line(tmp_path):
    with hub({}) as (endpoint, _):
        done = fetch(endpoint, tmp_path / "home", "--generator", "me/nothing", "--to", tmp_path / "weights")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "download me/nothing" in line


def test_the_plan_of_a_download_touches_nothing(lasro, tmp_path):
    flags = ["--reward", "hpsv2", "--reward", "brightness", "--generator", "sdxl-lightning", "--to", tmp_path / "weights"]
    code, found, err = lasro("download", *flags, "--dry-run", "--json")
    assert code == 0, err
    assert [(row["source"], row["here"]) for row in found["downloads"]] == [
        ("xswu/HPSv2", False),
        ("stabilityai/stable-diffusion-xl-base-1.0", False),
        ("ByteDance/SDXL-Lightning", False),
    ]
    assert found["downloads"][2]["bytes"] == 5_134_927_368
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("hpsv2", "HPS_v2.1_compressed.pt"),
        ("hpsv2:scale=100", "HPS_v2.1_compressed.pt"),
        ("hpsv2:version=2.0,scale=100", "HPS_v2_compressed.pt"),
    ],
)
def test_only_what_the_options_load_is_planned(lasro, tmp_path, spec, file):
    code, found, err = lasro("download", "--reward", spec, "--to", tmp_path / "weights", "--dry-run", "--json")
    assert code == 0, err
    assert [(row["file"], row["bytes"]) for row in found["downloads"]] == [(file, 1_970_000_000)]


def test_the_docs_say_what_a_reward_fetches():
    page = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    for card in reward_zoo.list_rewards():
        total = sum(weights.bytes for weights in card.weights if not weights.in_package and not weights.optional)
        said = f"{total / 1e9:.1f} GB" if total else "–"
        assert re.search(rf"^\| `{card.name}` \|.* \| ({said}|by {card.name}) \|$", page, re.MULTILINE), (card.name, said)


def test_addresses_are_not_fetched_offline(lasro, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    flags = ["--reward", "lpips_similarity", "--reference", tmp_path / "a.png"]
    code, _, err = lasro("rewards", "score", tmp_path / "a.png", *flags)
    assert code == 2
    assert "HF_HUB_OFFLINE is set" in err
    assert f"${FOLDER_VARIABLE}/alexnet" in err
