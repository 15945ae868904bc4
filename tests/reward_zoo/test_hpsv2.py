"""`hpsv2` against the model code and preprocessing of the original package (slow: it installs the package)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.images import to_uint8

HERE = Path(__file__).parent
SIZES = [(224, 224), (512, 512), (300, 200), (200, 301), (96, 96), (640, 360)]
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "head_width": 32, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.mark.slow
def test_hpsv2_is_the_original(tmp_path):
    """Same file, same pictures: the same scores, but for the drift of resizing on tensors."""
    packages = tmp_path / "packages"
    install = ["uv", "pip", "install", "--no-deps", "--target", packages, "-r", HERE / "hpsv2_original.txt"]
    subprocess.run([*install, "--python", sys.executable], check=True)
    prompts = [f"a sign that says {width} by {height}, photo" for width, height in SIZES]
    prompts[2] *= 12  # more than 77 tokens
    (tmp_path / "images").mkdir()
    (tmp_path / "tiny-hps.json").write_text(json.dumps(CONFIG))
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    for number, (width, height) in enumerate(SIZES):
        noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(number))
        picture = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")
        Image.fromarray(to_uint8(picture)[0]).save(tmp_path / "images" / f"{number:02d}.png")
    path = os.environ | {"PYTHONPATH": str(packages)}
    subprocess.run([sys.executable, HERE / "hpsv2_original.py", tmp_path], check=True, env=path)
    want = json.loads((tmp_path / "scores.json").read_text())
    reward = reward_zoo.load(f"hpsv2:model={tmp_path / 'tiny-hps.json'},weights={tmp_path / 'checkpoint.pt'}")
    for number, prompt in enumerate(prompts):
        exact = number == 0  # nothing to resize
        score = reward(images=tmp_path / "images" / f"{number:02d}.png", prompts=prompt).values.item()
        assert score == pytest.approx(want[number], abs=1e-6 if exact else 1e-4), SIZES[number]
    assert torch.tensor(want).std() > 0.02  # the pictures and prompts matter
