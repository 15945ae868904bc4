"""`lasro finetune` as a person runs it: methods, settings, signals, resume."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from cli.run_folder import RunFolder

PROMPTS = "\n".join(f"a {color} {thing}" for color in ("red", "blue") for thing in ("cat", "dog", "tree", "boat"))


@pytest.fixture
def tune(tmp_path, tiny_sdxl):
    """The command with a reward of the zoo on the tiny pipeline, up to the flags that differ."""
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    prompts = ["--prompts", tmp_path / "prompts.txt", "--eval-prompts", tmp_path / "prompts.txt", "--eval-samples", 4]
    small = ["--batch-size", 2, "--lora-rank", 2, "--lora-targets", "attention"]
    return ["finetune", "--generator", tiny_sdxl, "--reward", "brightness", *prompts, *small]


def test_a_rival_needs_no_surrogate_and_its_settings_are_kept(lasro, tune, tmp_path):
    out = tmp_path / "run"
    code, result, err = lasro(*tune, "--method", "ddpo", "--set", "samples_per_prompt=2", "--steps", 2, "--out", out, "--json")
    assert code == 0, err
    assert result["method"] == "ddpo"
    assert result["calls"]["training"] == 2 * 2 * 2
    assert result["reward_calls"] == result["calls"]["training"] + result["calls"]["validation"]
    assert [guard["name"] for guard in result["guards"]] == ["artifact_guard", "sharpness"]
    assert set(result["verdict"]) == {"gained", "cheats", "reasons", "words"}
    assert result["diversity"]["before"] > 0
    assert yaml.safe_load((out / "config.yaml").read_text())["method_settings"]["samples_per_prompt"] == 2
    card = (out / "adapter" / "README.md").read_text()
    assert "tuned on `brightness`" in card
    assert f"{result['reward']['after']:.3f}" in card


def test_a_fully_tuned_generator_is_a_pipeline_again(lasro, tune, tmp_path):
    out = tmp_path / "run"
    code, result, err = lasro(*tune, "--method", "refl", "--tune", "full", "--steps", 1, "--out", out, "--json")
    assert code == 0, err
    picture = ["generate", "--generator", result["pipeline"], "--prompt", "a cat", "--out", tmp_path / "cat.png"]
    assert lasro(*picture)[0] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "lasro"], "--method lasro: climbs a surrogate; give --surrogate"),
        (["--method", "lasso"], "did you mean 'lasro'"),
        (["--method", "ddpo", "--set", "clip"], "--set clip: write NAME=VALUE"),
        (["--method", "ddpo", "--set", "clip_rnge=1"], "did you mean 'clip_range'"),
        (["--method", "refl", "--reward", "jpeg_compressibility"], "has no gradient; use lasro"),
    ],
)
def test_mistakes_are_named(lasro, tune, tmp_path, flags, message):
    code, out, err = lasro(*tune, *flags, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "run").exists()


def steps_done(out):
    """Of the run so far."""
    log = out / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def adapter(out):
    return load_file(out / "adapter" / "pytorch_lora_weights.safetensors")


def test_an_ended_run_goes_on_as_if_nothing_had_been(lasro, tune, tmp_path, monkeypatch):
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    gors = [*tune, "--method", "gors", "--steps", 4, "--evaluate-every", 3]
    assert lasro(*gors, "--out", whole)[0] == 0
    log = RunFolder.log

    def ending(run, record):
        log(run, record)
        if record["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", ending)
        code, out, err = lasro(*gors, "--out", ended, "--json")
    assert (code, out) == (128 + signal.SIGTERM, "")
    assert "run the same command with --resume" in err
    assert not (ended / "summary.json").exists()
    code, result, err = lasro(*gors, "--out", ended, "--resume", "--json")
    assert code == 0, err
    assert steps_done(ended) == 4  # none was done twice
    assert all(torch.equal(tensor, adapter(ended)[name]) for name, tensor in adapter(whole).items())
    assert result["reward"] == json.loads((whole / "summary.json").read_text())["reward"]


def start(tune, out, *more):
    """The command in a process of its own."""
    arguments = [str(part) for part in [*tune, "--method", "gors", "--evaluate-every", 1, "--out", out, "--json", *more]]
    code = "import sys; from cli.app import main; sys.exit(main())"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_at_ten_points_and_resumed_is_uninterrupted(tune, tmp_path):
    """SIGKILL at random moments, most within a step; the last start goes through."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(tune, whole, "--steps", 24).wait() == 0
    moments = torch.rand(10, generator=torch.Generator().manual_seed(0)).tolist()
    for number, moment in enumerate(moments):
        process = start(tune, killed, "--steps", 24, *(["--resume"] if number else []))
        before = steps_done(killed)
        while steps_done(killed) <= before:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(tune, killed, "--steps", 24, "--resume").wait() == 0
    assert all(torch.equal(tensor, adapter(killed)[name]) for name, tensor in adapter(whole).items())
