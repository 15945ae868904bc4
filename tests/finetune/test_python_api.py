"""`surrogate.distill` and `finetune.finetune`: the commands' jobs as functions."""

import threading
from dataclasses import fields

import pytest
import torch
import yaml
from safetensors.torch import load_file

import finetune
import reward_zoo
import surrogate
from finetune.errors import ConfigError, GeneratorError
from finetune.lora import WEIGHTS_FILE
from reward_zoo.errors import SpecError
from reward_zoo.loading import spec_of
from surrogate.errors import RunFolderError

PROMPTS = [f"a {color} {thing}" for color in ("red", "blue", "green") for thing in ("cat", "dog", "tree", "boat")]
SMALL = {"samples": 24, "noises": 2, "steps": 2, "backbone": "latent-cnn", "prompts_per_batch": 4}
TUNED = {"steps": 1, "batch_size": 2, "lora_rank": 2, "eval_samples": 4, "validation_samples": 2, "guards": ["sharpness"]}


def dark(images):
    return 1 - images.mean((1, 2, 3))


@pytest.fixture(scope="module")
def distilled(generator, tmp_path_factory):
    """A surrogate of `brightness`, by the function."""
    return surrogate.distill("brightness", generator, PROMPTS, out=tmp_path_factory.mktemp("runs") / "bright", **SMALL)


@pytest.fixture
def tuning(tiny_sdxl):
    """Arguments of a run that takes a moment."""
    return {**TUNED, "generator": str(tiny_sdxl), "prompts": PROMPTS, "eval_prompts": PROMPTS[:4]}


def test_every_name_that_is_promised_is_there():
    for package in (reward_zoo, surrogate, finetune):
        for name in package.__all__:
            assert getattr(package, name).__name__ == name
        assert set(dir(package)) == set(package.__all__)
        with pytest.raises(AttributeError, match="no_such_thing"):
            package.no_such_thing  # noqa: B018


def test_distilled_is_what_the_command_distils(distilled, generator, lasro, tiny_sdxl, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    flags = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", value)]
    where = ["--generator", tiny_sdxl, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "run"]
    code, result, err = lasro("distill", "--reward", "brightness", *where, *flags, "--json")
    assert code == 0, err
    assert result["pairwise"] == distilled.fidelity["pairwise"]
    by_command = load_file(tmp_path / "run" / "surrogate" / "model.safetensors")
    assert all(weight.equal(by_command[name]) for name, weight in load_file(distilled.folder / "model.safetensors").items())


def test_its_config_is_one_for_the_command(distilled, lasro, tmp_path):
    config = distilled.folder.parent / "config.yaml"
    assert yaml.safe_load(config.read_text())["samples"] == 24
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS))
    code, shown, err = lasro("config", "show", "distill", "--config", config, "--json")
    assert code == 0, err
    assert "latent-cnn" in str(shown)


def test_labels_in_rounds(tiny_sdxl, tmp_path):
    own = finetune.load_generator(str(tiny_sdxl), "cpu")
    found = surrogate.distill("brightness", own, PROMPTS, out=tmp_path / "r", job=finetune.in_rounds(2, drift_steps=1), **SMALL)
    assert found.fidelity["labels"] == 24
    config = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert (config["rounds"], config["drift_steps"]) == (2, 1)
    with pytest.raises(SpecError, match="job goes with prompts"):
        surrogate.distill("brightness", own, data=[tmp_path / "r"], out=tmp_path / "s", job=finetune.in_rounds(2))
    with pytest.raises(SpecError, match="drift_step"):
        finetune.in_rounds(2, drift_step=1)


def test_labels_that_are_there_are_trained_on(distilled, generator, tmp_path):
    again = surrogate.distill("brightness", generator, data=[distilled.folder.parent], out=tmp_path / "again", steps=2)
    assert again.fidelity["labels"] == distilled.fidelity["labels"]


def test_a_function_is_a_reward_and_is_found_again_also_by_a_thread(generator, tuning, tmp_path):
    found = surrogate.distill(dark, generator, PROMPTS, out=tmp_path / "dark", **SMALL)
    assert found.config["reward"] == f"{__file__}:dark"
    results = []
    thread = threading.Thread(target=lambda: results.append(finetune.finetune(found, out=tmp_path / "tuned", **tuning)))
    thread.start()  # loads it by that name
    thread.join()
    assert results[0]["reward_name"] == f"{__file__}:dark"
    assert results[0]["reward"]["samples"] == 4


def test_a_function_without_a_place_keeps_its_name():
    assert spec_of(lambda images: images.mean((1, 2, 3))) == "<lambda>"
    assert spec_of("ocr:engine=easyocr") == "ocr:engine=easyocr"
    assert spec_of(reward_zoo.load("brightness")) == "brightness"
    assert reward_zoo.load(dark).card.name == "dark"


def test_tuned_as_the_command_tunes_and_resumed(distilled, tuning, lasro, tiny_sdxl, tmp_path):
    result = finetune.finetune(distilled.folder, out=tmp_path / "run", **tuning)
    assert set(result) >= {"reward", "guards", "diversity", "verdict", "adapter", "reward_calls"}
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "held_out.txt").write_text("\n".join(PROMPTS[:4]))
    where = ["--prompts", tmp_path / "prompts.txt", "--eval-prompts", tmp_path / "held_out.txt", "--tracker", "none"]
    by_config = ["finetune", "--config", tmp_path / "run" / "config.yaml", *where, "--out", tmp_path / "command", "--json"]
    code, again, err = lasro(*by_config)
    assert code == 0, err
    assert again["reward"] == result["reward"]
    assert finetune.finetune(distilled, out=tmp_path / "run", resume=True, **tuning)["reward"] == result["reward"]


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_what_is_handed_over_stays_as_it_is(tune, distilled, tuning, tiny_sdxl, tmp_path):
    """So a second call is the same run."""
    own, weights = finetune.load_generator(str(tiny_sdxl), "cpu"), distilled.surrogate.state_dict()
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    given = {**tuning, "generator": own, "tune": tune, "method_settings": {"adapt_every": 1, "adapt_prompts": 2}}
    first, again = (finetune.finetune(distilled, out=tmp_path / name, **given) for name in ("first", "again"))
    assert first["reward"] == again["reward"]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in distilled.surrogate.state_dict().items())
    if tune == "lora":
        files = [tmp_path / name / "adapter" / WEIGHTS_FILE for name in ("first", "again")]
        assert files[0].read_bytes() == files[1].read_bytes()
        finetune.load_lora(own.pipeline, tmp_path / "first" / "adapter")
        with pytest.raises(GeneratorError, match="has an adapter already"):
            finetune.finetune(distilled, out=tmp_path / "third", **given)


def test_an_adapter_is_written_before_anything_else_may_fail(distilled, tuning, monkeypatch, tmp_path):
    def out_of_memory(*_given, **_more):
        raise MemoryError

    monkeypatch.setattr("finetune.jobs.compare", out_of_memory)
    with pytest.raises(MemoryError):
        finetune.finetune(distilled, out=tmp_path / "run", **tuning)
    assert (tmp_path / "run" / "adapter" / WEIGHTS_FILE).is_file()
    monkeypatch.undo()
    assert "verdict" in finetune.finetune(distilled, out=tmp_path / "run", resume=True, **tuning)


def test_mistakes_are_named(distilled, generator, tuning, tmp_path):
    out = tmp_path / "run"
    for given, said in (
        ({"sample": 24}, "did you mean 'samples'"),
        ({"noises": 1}, "--noises 1"),
        ({"data": [distilled.folder.parent]}, "give prompts, or data"),
    ):
        with pytest.raises(SpecError, match=said):
            surrogate.distill("brightness", generator, PROMPTS, out=out, **given)
    with pytest.raises(SpecError, match="did you mean 'lora_rank'"):
        finetune.finetune(distilled, out=out, lora_ranks=2, **tuning)
    with pytest.raises(ConfigError, match="--eval-samples 0: must be at least 1"):
        finetune.finetune(distilled, out=out, **{**tuning, "eval_samples": 0})
    with pytest.raises(SpecError, match="climbs a surrogate"):
        finetune.finetune(reward="brightness", out=out, **tuning)
    assert not out.exists()
    whole = distilled.folder.parent
    with pytest.raises(RunFolderError, match="exists"):
        surrogate.distill("brightness", generator, PROMPTS, out=whole)
    with pytest.raises(RunFolderError, match=f"--overwrite would delete {whole}, which this run reads"):
        surrogate.distill("brightness", generator, data=[whole], out=whole, overwrite=True)
    with pytest.raises(RunFolderError, match=f"--overwrite would delete {distilled.folder}, which this run reads"):
        finetune.finetune(distilled, out=whole, overwrite=True, **tuning)
    assert distilled.folder.is_dir()


def test_no_setting_means_two_things():
    from inspect import signature

    from finetune.order import TuningOrder

    shared = set(signature(TuningOrder).parameters) & {field.name for field in fields(finetune.FinetuneConfig)}
    assert not shared
