"""Rewards of an installed package are found by its entry points; a broken one breaks nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PLUGIN = Path(__file__).parents[1] / "plugin"


@pytest.fixture(scope="module")
def with_plugin(tmp_path_factory):
    """Runs lasro in a process that has the plugin installed."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")
    pip = ["uv", "pip", "install", "--python", sys.executable]
    if shutil.which("uv") is None:
        pip = [sys.executable, "-m", "pip", "install"]
    subprocess.run([*pip, "-q", "--no-deps", "--target", folder / "site", folder / "source"], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{PLUGIN.parents[1]}"}

    def run(*arguments):
        command = [sys.executable, "-m", "cli", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_its_rewards_are_listed_and_the_broken_ones_named(with_plugin):
    done = with_plugin("rewards", "list", "--json")
    assert done.returncode == 0, done.stderr
    cards = {card["name"]: card for card in json.loads(done.stdout)}
    assert cards["redness"]["summary"] == "How red the image is."
    assert cards["greenness"]["differentiable"] is True
    assert cards["ocr"]["summary"].startswith("does the image show the text")
    assert "unimportable" not in cards
    lines = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert any("'unimportable'" in line and "a_package_that_is_not_there" in line for line in lines)
    assert any("'ocr'" in line and "taken" in line and "lasro-plugin-example" in line for line in lines)
    assert len(lines) == 2
    assert "Traceback" not in done.stderr


def test_its_rewards_score_and_take_options(with_plugin, tmp_path):
    Image.new("RGB", (16, 16), (255, 51, 0)).save(tmp_path / "red.png")
    rewards = ["--reward", "redness", "--reward", "greenness:power=2"]
    done = with_plugin("rewards", "score", tmp_path / "red.png", *rewards, "--json", "--no-cache")
    assert done.returncode == 0, done.stderr
    assert [round(row["score"], 4) for row in json.loads(done.stdout)] == [1.0, 0.04]
    done = with_plugin("rewards", "check", "greenness")
    assert done.returncode == 0, done.stdout


def test_asking_for_the_broken_one_is_one_line(with_plugin):
    done = with_plugin("rewards", "info", "unimportable")
    assert done.returncode == 2
    assert "error: reward 'unimportable'" in done.stderr
    assert "Traceback" not in done.stderr
