"""The first command of the README: small here, whole in the slow suite."""

import shlex
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from finetune.config import FinetuneConfig

README = (Path(__file__).parents[2] / "README.md").read_text()


def check_fields(result, out):
    for name in ("reward", "exact", "guard"):
        assert {"before", "after"} <= set(result[name]), name
    assert len(result["reward"]["ci95"]) == 2
    assert 0 <= result["surrogate"]["pairwise_accuracy"] <= 1
    assert result["reward_calls"] == sum(result["calls"][name] for name in ("labels", "training", "validation"))
    assert result["minutes"] > 0
    assert result["run"] == str(out)
    assert Path(result["adapter"], "pytorch_lora_weights.safetensors").is_file()
    with Image.open(result["samples"]) as picture:
        assert picture.width > 500


def test_the_readme_names_it():
    assert "uv run lasro quickstart" in [part.strip() for line in README.splitlines() for part in line.split("&&")]


def test_quickstart_in_small_and_the_same_twice(lasro, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.commands.quickstart.DISTILL_STEPS", 2)
    monkeypatch.setattr("cli.commands.quickstart.FinetuneConfig", partial(FinetuneConfig, validation_samples=8))
    monkeypatch.setattr("finetune.jobs.DIVERSITY_PROMPTS", 2)
    monkeypatch.setattr("finetune.jobs.VALIDATION_DIVERSITY_PROMPTS", 2)
    small = shlex.split("quickstart --samples 64 --steps 2 --eval-samples 8 --json")
    results = []
    for out in (tmp_path / "first", tmp_path / "second"):
        code, result, err = lasro(*small, "--out", out)
        assert code == 0, err
        check_fields(result, out)
        places = ("minutes", "run", "adapter", "samples", "report")
        results.append({key: value for key, value in result.items() if key not in places})
        results[-1]["surrogate"].pop("folder")
    assert results[0] == results[1]
    weights = [(tmp_path / run / "adapter" / "pytorch_lora_weights.safetensors").read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]


def test_quickstart_refuses_nonsense(lasro, tmp_path):
    code, _, err = lasro("quickstart", "--samples", 0, "--out", tmp_path / "q")
    assert code == 2
    assert "--samples 0" in err
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quickstart_gains(lasro, tmp_path, seed):
    code, result, err = lasro("quickstart", "--seed", seed, "--out", tmp_path / "q", "--json")
    assert code == 0, err
    check_fields(result, tmp_path / "q")
    assert result["reward"]["after"] - result["reward"]["before"] >= 0.15
    assert result["reward"]["ci95"][0] > 0
    assert result["surrogate"]["pairwise_accuracy"] >= 0.72
