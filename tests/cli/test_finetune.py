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
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.lora import WEIGHTS_FILE, load_lora
from surrogate.runs.folder import RunFolder
from surrogate.runs.state import ask, read_state
from tests.tiny.surrogate import build_folder

PROMPTS = "\n".join(f"a {color} {thing}" for color in ("red", "blue") for thing in ("cat", "dog", "tree", "boat"))


@pytest.fixture
def tune(tmp_path, tiny_sdxl):
    """The command with a reward of the zoo on the tiny pipeline, up to the flags that differ."""
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    prompts = ["--prompts", tmp_path / "prompts.txt", "--eval-prompts", tmp_path / "prompts.txt", "--eval-samples", 4]
    small = ["--batch-size", 2, "--lora-rank", 2]
    return ["finetune", "--generator", tiny_sdxl, "--reward", "brightness", *prompts, *small]


def test_a_rival_needs_no_surrogate_and_its_settings_are_kept(lasro, tune, tmp_path):
    out = tmp_path / "run"
    code, result, err = lasro(*tune, "--method", "ddpo", "--set", "samples_per_prompt=2", "--steps", 2, "--out", out, "--json")
    assert code == 0, err
    assert result["method"] == "ddpo"
    assert result["calls"]["training"] == 2 * 2 * 2
    assert result["reward_calls"] == result["calls"]["training"] + result["calls"]["validation"]
    assert [guard["name"] for guard in result["guards"]] == ["artifact_guard", "sharpness"]
    assert set(result["verdict"]) == {"gained", "cheats", "reasons", "warnings", "words"}
    assert result["diversity"]["before"] > 0
    assert yaml.safe_load((out / "config.yaml").read_text())["method_settings"]["samples_per_prompt"] == 2
    card = (out / "adapter" / "README.md").read_text()
    assert "tuned on `brightness`" in card
    assert f"{result['reward']['after']:.3f}" in card


def test_a_large_generator_is_tuned_in_little_memory(lasro, tune, tmp_path):
    thrift = ["--precision", "bfloat16", "--gradient-checkpointing", "--text-cache", tmp_path / "texts"]
    command = [*tune, *thrift, "--method", "gors", "--steps", 1, "--evaluate-every", 1, "--tracker", "none"]
    for run in ("first", "second"):  # the second finds every prompt encoded
        code, _, err = lasro(*command, "--out", tmp_path / run)
        assert code == 0, err
    first, second = (adapter(tmp_path / run) for run in ("first", "second"))
    assert all(tensor.dtype == torch.float32 for tensor in first.values())
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert list((tmp_path / "texts").rglob("*.safetensors"))


def test_a_fully_tuned_generator_is_a_pipeline_again(lasro, tune, tmp_path):
    out = tmp_path / "run"
    code, result, err = lasro(*tune, "--method", "refl", "--tune", "full", "--steps", 1, "--out", out, "--json")
    assert code == 0, err
    picture = ["generate", "--generator", result["pipeline"], "--prompt", "a cat", "--out", tmp_path / "cat.png"]
    assert lasro(*picture)[0] == 0


def test_numbers_and_pictures_go_to_tensorboard(lasro, tune, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    assert lasro(*tune, "--method", "gors", "--steps", 2, "--evaluate-every", 1, "--out", out)[0] == 0
    events = EventAccumulator(str(out / "tracking" / "lasro"), size_guidance={"images": 0}).Reload()
    assert {"validation_reward", "batch_reward", "grad_norm", "guard/sharpness", "diversity"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("validation_reward")] == [0, 1, 2]
    assert [event.step for event in events.Images("validation")] == [0, 1, 2]
    assert sorted(path.name for path in (out / "samples").glob("step-*")) == [f"step-{n:08d}.png" for n in range(3)]


def test_a_merged_export_is_the_tuned_generator_in_plain_diffusers(lasro, tune, tmp_path):
    out, merged = tmp_path / "run", tmp_path / "merged"
    tuned = ["--method", "refl", "--steps", 3, "--learning-rate", "0.05", "--evaluate-every", 1, "--tracker", "none"]
    assert lasro(*tune, *tuned, "--out", out)[0] == 0
    code, result, err = lasro("export", out, "--merge", "--out", merged, "--json")
    assert code == 0, err
    assert result["pipeline"] == str(merged)
    base, want = load_generator(str(tune[2])), load_generator(str(tune[2]))
    load_lora(want.pipeline, out / "adapter")
    pipeline = StableDiffusionXLPipeline.from_pretrained(merged)
    got = SDXLGenerator(pipeline, want.preset).rollout(["a cat"], [7]).z2
    assert torch.allclose(got, want.rollout(["a cat"], [7]).z2, atol=1e-3)
    assert not torch.allclose(got, base.rollout(["a cat"], [7]).z2, atol=1e-2)
    assert "Held-out prompts" in (merged / "README.md").read_text()


def test_an_adapter_goes_to_the_hub(lasro, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda _, name, **given: calls.append(name))
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", lambda _, **given: calls.append(given["folder_path"]) or "there")
    for place in (hold(tmp_path / "run" / "adapter", WEIGHTS_FILE), hold(tmp_path / "full" / "pipeline", "model_index.json")):
        for given in (place, place.parent):
            code, result, err = lasro("export", given, "--push-to-hub", "me/signs", "--json")
            assert code == 0, err
            assert calls == ["me/signs", place]
            assert (result["address"], result[place.name]) == ("there", str(place))
            calls.clear()


def hold(folder, name):
    folder.mkdir(parents=True)
    (folder / name).write_text("{}")
    return folder


FAILS_LATER = """
calls = 0
def light(images):
    global calls
    calls += 1
    if calls > 4 and not (HERE / "mended").exists():
        raise ConnectionError("the server is gone")
    return images.mean((1, 2, 3))
from pathlib import Path
HERE = Path(__file__).parent
"""


def test_a_reward_that_dies_in_the_middle_is_one_line_and_the_run_goes_on_when_it_is_back(lasro, tune, tmp_path):
    (tmp_path / "own.py").write_text(FAILS_LATER)
    command = [*tune, "--reward", f"{tmp_path}/own.py:light", "--method", "gors", "--steps", 4, "--evaluate-every", 1]
    command += ["--tracker", "none", "--out", tmp_path / "run"]
    code, out, err = lasro(*command)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "the server is gone" in line
    done = steps_done(tmp_path / "run")
    assert 0 < done < 4
    (tmp_path / "mended").touch()
    assert lasro(*command, "--resume")[0] == 0
    assert steps_done(tmp_path / "run") == 4


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_one_before_stands(lasro, tune, tmp_path, monkeypatch):
    save, command = torch.save, [*tune, "--method", "gors", "--steps", 3, "--evaluate-every", 1, "--tracker", "none"]

    def full(state, path):
        if path.name == "step-00000002.tmp":
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        code, out, err = lasro(*command, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert "free space" in err
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("*.pt")] == ["step-00000001.pt"]
    assert lasro(*command, "--out", tmp_path / "run", "--resume")[0] == 0


def test_real_pictures_hold_the_generator(lasro, tune, tmp_path, tiny_sdxl):
    surrogate = build_folder(tmp_path / "surrogate", load_generator(str(tiny_sdxl)), reward="brightness", name=str(tiny_sdxl))
    (tmp_path / "real").mkdir()
    for name in ("one", "two"):
        Image.new("RGB", (20, 30), "white").save(tmp_path / "real" / f"{name}.png")
        (tmp_path / "real" / f"{name}.txt").write_text(f"a {name}")
    command = [*tune, "--surrogate", surrogate, "--steps", 1, "--evaluate-every", 1, "--tracker", "none"]
    code, _, err = lasro(*command, "--images", tmp_path / "real", "--out", tmp_path / "alone")
    assert code == 2
    assert "goes together with real pictures" in err
    lcm = ["--images", tmp_path / "real", "--teacher", tiny_sdxl, "--set", "lcm_weight=500"]
    code, _, err = lasro(*command, *lcm, "--out", tmp_path / "run")
    assert code == 0, err
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[1])
    assert record["lcm_loss"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --merge with --out FOLDER, or --push-to-hub"),
        (["--merge"], "give --out FOLDER"),
        (["--out", "x"], "--push-to-hub"),
        (["--merge", "--out", "{place}/new"], "give --generator"),
        (["--merge", "--out", "{place}/new", "--generator", "{tiny}"], "does not fit the generator"),
        (["--merge", "--out", "{place}", "--overwrite", "--generator", "{tiny}"], "would delete {place}"),
        (["--merge", "--out", "{place}/..", "--overwrite", "--generator", "{tiny}"], "would delete {place}"),
        (["--merge", "--out", "{place}/adapter", "--overwrite", "--generator", "{tiny}"], "would delete {place}/adapter"),
        (["--push-to-hub", "me/x"], "--push-to-hub me/x: the hub refused"),
    ],
)
def test_exports_that_cannot_be_are_named(lasro, tmp_path, tiny_sdxl, flags, message):
    place = tmp_path / "run"
    hold(place / "adapter", WEIGHTS_FILE)
    code, out, err = lasro("export", place, *[str(flag).format(place=place, tiny=tiny_sdxl) for flag in flags])
    assert (code, out) == (2, "")
    assert message.format(place=place) in err
    assert not (place / "new").exists()
    assert (place / "adapter" / WEIGHTS_FILE).exists()


def test_what_is_no_adapter_is_neither_merged_nor_pushed(lasro, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: pytest.fail("the hub was asked"))
    hold(tmp_path / "unfinished" / "checkpoints", "step.pt")
    hold(tmp_path / "full" / "pipeline", "model_index.json")
    push, merge = ["--push-to-hub", "me/x"], ["--merge", "--out", tmp_path / "new"]
    for run, flags, message in (
        ("unfinished", push, f"{tmp_path}/unfinished: holds no adapter and no pipeline; give a finished run"),
        ("nowhere", push, f"{tmp_path}/nowhere: no such folder"),
        ("full", merge, f"--merge: {tmp_path}/full/pipeline is a whole pipeline already"),
    ):
        code, out, err = lasro("export", tmp_path / run, *flags)
        assert (code, out) == (2, "")
        assert message in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "lasro"], "--method lasro: climbs a surrogate; give --surrogate"),
        (["--method", "lasso"], "did you mean 'lasro'"),
        (["--method", "ddpo", "--tracker", "tensorbord"], "did you mean 'tensorboard'"),
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
    return sum(json.loads(line)["step"] > 0 for line in log.read_text().splitlines()) if log.exists() else 0


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


def watching(monkeypatch, seen):
    """Call `seen(run, record)` after each step has been logged, as whoever watches the folder could."""
    log = RunFolder.log

    def then(run, record):
        log(run, record)
        seen(run, record)

    monkeypatch.setattr(RunFolder, "log", then)


def test_who_watches_may_stop_a_run_and_it_goes_on_as_after_a_signal(lasro, tune, tmp_path, monkeypatch):
    out = tmp_path / "run"
    gors = [*tune, "--method", "gors", "--steps", 4, "--evaluate-every", 3, "--tracker", "none"]
    with monkeypatch.context() as patch:
        watching(patch, lambda run, record: ask(run.path, "stop") if record["step"] == 2 else None)
        code, _, err = lasro(*gors, "--out", out, "--json")
    assert code == 128 + signal.SIGTERM
    assert "run the same command with --resume" in err
    assert read_state(out)["state"] == "ended"
    assert not (out / "control.json").exists()
    assert lasro(*gors, "--out", out, "--resume")[0] == 0
    assert steps_done(out) == 4  # none was done twice, and the wish is forgotten
    assert read_state(out)["state"] == "finished"


def test_a_paused_run_waits_and_goes_on(lasro, tune, tmp_path, monkeypatch):
    out, waited = tmp_path / "run", []

    def sleep(seconds):
        waited.append(read_state(out)["state"])
        if len(waited) == 3:
            ask(out, "go")

    monkeypatch.setattr("surrogate.runs.state.time.sleep", sleep)
    watching(monkeypatch, lambda run, record: ask(run.path, "pause") if record["step"] == 1 else None)
    code, _, err = lasro(*tune, "--method", "gors", "--steps", 2, "--tracker", "none", "--out", out)
    assert code == 0, err
    assert waited == ["paused"] * 3
    assert steps_done(out) == 2


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
