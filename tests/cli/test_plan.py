"""`--dry-run`: honest numbers with where they come from, and nothing touched."""

import pytest

from finetune.generators.pipeline import load_generator
from reward_zoo.terminal import _lines
from tests.tiny.surrogate import build_folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with prompts; what is in it must not change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("\n".join(f"a picture of {number}" for number in range(24)))
    (tmp_path / "own.py").write_text("def light(images):\n    return images.mean((1, 2, 3))\n")
    return tmp_path


def planned(lasro, place, *arguments):
    """The plan; the folder is as it was."""
    before = sorted(place.rglob("*"))
    code, found, err = lasro(*arguments, "--dry-run", "--json")
    assert code == 0, err
    assert [path for path in sorted(place.rglob("*")) if "__pycache__" not in path.parts] == before
    return found


def test_labels_and_training_are_measured(lasro, place, tiny_sdxl):
    flags = ["--generator", tiny_sdxl, "--prompts", "prompts.txt", "--reward", "own.py:light", "--samples", 160]
    found = planned(lasro, place, "distill", *flags, "--backbone", "latent-cnn", "--steps", 50)
    labels = 160 // (2 * 4) * 4 * 2
    assert found["reward_calls"]["labels"] == found["images"] == labels
    assert set(found["seconds"]) == {"labels", "training"}
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["disk_bytes"]["labels"] == labels * 4 * 16 * 16 * 2
    assert found["memory_bytes"] > 1e8
    assert found["sources"]["time"].startswith("measured on cpu with")
    assert found["downloads"] == []
    more = planned(lasro, place, "label", *flags, "--samples", 64)
    assert more["reward_calls"] == {"labels": 64}
    assert set(more["seconds"]) == {"labels"}


def test_the_plan_of_labels_is_what_labelling_takes(lasro, place, tiny_sdxl):
    flags = ["--generator", tiny_sdxl, "--prompts", "prompts.txt", "--reward", "own.py:light", "--samples", 32]
    calls = planned(lasro, place, "label", *flags)["reward_calls"]["labels"]
    code, found, err = lasro("label", *flags, "--out", "run", "--json")
    assert code == 0, err
    assert found["reward_calls"] == calls
    rest = planned(lasro, place, "label", *flags, "--samples", 64, "--out", "run", "--resume")
    assert rest["reward_calls"]["labels"] == 64 - calls
    assert rest["sources"]["calls"] == f"{calls} of 64 labels are there"


@pytest.mark.parametrize("backbone", ["latent-cnn", "pixel-cnn"])
def test_training_on_labels_that_are_there_is_measured(lasro, place, tiny_sdxl, backbone):
    flags = ["--generator", tiny_sdxl, "--prompts", "prompts.txt", "--reward", "own.py:light", "--samples", 64]
    code, _, err = lasro("label", *flags, "--out", "run")
    assert code == 0, err
    found = planned(lasro, place, "distill", "--data", "run", "--backbone", backbone, "--steps", 50)
    assert set(found["seconds"]) == {"training"}
    assert found["seconds"]["training"] > 0
    assert set(found["reward_calls"]) == {"noise ceiling"}
    assert found["sources"]["time"] == "measured on cpu with 4 training steps"


def test_the_ceiling_is_planned_for_the_prompts_that_may_be_held_out(lasro, place, tiny_sdxl, monkeypatch):
    for module in ("cli.probe", "surrogate.sampling"):
        monkeypatch.setattr(f"{module}.MOST_HELD_OUT", 1)
    flags = ["--generator", tiny_sdxl, "--prompts", "prompts.txt", "--reward", "own.py:light", "--samples", 160]
    flags += ["--backbone", "latent-cnn", "--steps", 2]
    calls = planned(lasro, place, "distill", *flags)["reward_calls"]["noise ceiling"]
    code, found, err = lasro("distill", *flags, "--out", "run", "--json")
    assert code == 0, err
    assert found["measuring_calls"] == calls == 4 * 2


def test_the_plan_of_tuning_is_what_tuning_takes(lasro, place, tiny_sdxl):
    surrogate = build_folder(place / "surrogate", load_generator(str(tiny_sdxl)), reward="brightness", name=str(tiny_sdxl))
    prompts = ["--prompts", "prompts.txt", "--eval-prompts", "prompts.txt", "--eval-samples", 4]
    sizes = ["--steps", 4, "--batch-size", 2, "--lora-rank", 2, "--evaluate-every", 2, "--set", "adapt_every=2"]
    flags = ["finetune", "--surrogate", surrogate, *prompts, *sizes, "--tracker", "none"]
    plan = planned(lasro, place, *flags)
    code, found, err = lasro(*flags, "--out", "run", "--json")
    assert code == 0, err
    assert plan["reward_calls"] == found["calls"]
    adapter = (place / "run" / "adapter" / "pytorch_lora_weights.safetensors").stat().st_size
    assert plan["disk_bytes"]["adapter"] == pytest.approx(adapter, rel=0.3)
    assert set(plan["seconds"]) == {"training", "validation", "evaluation"}
    rest = planned(lasro, place, *flags, "--steps", 8, "--out", "run", "--resume")["reward_calls"]
    assert rest["validation"] == 2 * plan["reward_calls"]["validation"] // 3  # not the one before the first step
    assert rest["training"] == plan["reward_calls"]["training"]


def test_what_is_not_here_is_listed_and_nothing_is_guessed(lasro, place):
    found = planned(lasro, place, "distill", "--reward", "hpsv2", "--generator", "sdxl-turbo", "--prompts", "prompts.txt")
    assert [(row["source"], row["here"]) for row in found["downloads"]] == [
        ("xswu/HPSv2", False),
        ("stabilityai/sdxl-turbo", False),
    ]
    assert found["downloads"][1]["bytes"] == pytest.approx(6.94e9, rel=0.01)
    assert found["seconds"] == {}
    assert found["memory_bytes"] is None
    assert found["sources"]["time"] == "not on this machine: xswu/HPSv2, stabilityai/sdxl-turbo"
    assert found["disk_bytes"]["labels"] == found["reward_calls"]["labels"] * 4 * 64 * 64 * 2


def test_another_machine_is_not_asked(lasro, place, tiny_sdxl):
    reward = "vlm_judge:base_url=http://127.0.0.1:9/v1"
    found = planned(lasro, place, "label", "--reward", reward, "--generator", tiny_sdxl, "--prompts", "prompts.txt")
    assert found["sources"]["time"] == "vlm_judge is answered elsewhere, and a plan asks nobody"
    assert found["reward_calls"]["labels"] > 0


def test_a_log_says_how_much_is_left(capsys):
    """A run that is resumed at 500 of 1000 and does one a second."""
    now = [0.0]
    update = _lines("label", clock=lambda: now[0])
    for done in range(500, 631):
        update(done, 1000, "")
        now[0] += 1
    assert capsys.readouterr().err.splitlines() == ["label 560/1000, about 7 min left", "label 620/1000, about 6 min left"]
