"""kill -9 at any moment of labelling or training, then --resume: nothing lost, nothing doubled, the same bits."""

import multiprocessing
import random
import sys
import time

import pytest
import torch

from surrogate.config import DistillConfig
from surrogate.store import LabelledStore

OWN = "def light(images):\n    return images.mean((1, 2, 3))\n"
SHARDS = 4  # of 16 rows
SIZES = DistillConfig.__init__.__kwdefaults__


def run_command(arguments):
    """A whole command in a process of its own."""
    from cli.app import main

    SIZES["label_batch_size"] = 8
    sys.argv = ["lasro", *arguments]
    sys.exit(main())


@pytest.fixture(scope="module")
def start():
    """Start a command in a process forked from one that has all imports behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["surrogate.jobs", "cli.commands.distill", "finetune.generators.pipeline"])

    def begin(*arguments):
        process = context.Process(target=run_command, args=([str(argument) for argument in arguments],))
        process.start()
        return process

    return begin


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "own.py").write_text(OWN)
    (folder / "prompts.txt").write_text("\n".join(f"a picture of {number}" for number in range(2 * SHARDS)))
    return folder


@pytest.fixture
def label(place, tiny_sdxl, monkeypatch):
    """The arguments of a labelling of `SHARDS` shards into a folder."""
    monkeypatch.setitem(SIZES, "label_batch_size", 8)
    given = ["--generator", tiny_sdxl, "--reward", f"{place}/own.py:light", "--prompts", place / "prompts.txt"]
    return lambda out: ["label", *given, "--samples", 16 * SHARDS, "--out", place / out]


@pytest.fixture
def labels(lasro, label, place):
    """Labels that nothing interrupted, made once."""
    if not (place / "whole").exists():
        code, _, err = lasro(*label("whole"))
        assert code == 0, err
    return place / "whole"


def kill(process, moment):
    """Kill -9 as soon as `moment()` holds; whether the process was still at work."""
    while process.is_alive() and not moment():
        time.sleep(0.0005)
    working = process.is_alive()
    process.kill()
    process.join()
    return working


def rows(folder):
    """The rows of a store, by what they are of, with their latents' bits."""
    store = LabelledStore.open(folder / "labels")
    named = [(label.prompt, label.seed, label.stage, label.score) for label in store.labels()]
    assert len(set(named)) == len(named) == 16 * SHARDS
    return dict(zip(named, (latent.numpy().tobytes() for latent in store.latents()[:]), strict=True))


def test_labelling_killed_again_and_again_gives_the_rows_of_one_in_peace(start, lasro, label, labels, place):
    out = place / "killed"
    moments = [  # while a shard has no index yet, and while the next is rolled out
        lambda: (out / "labels" / "shard-00000.safetensors").exists(),
        lambda: (out / "labels" / "index.parquet" / "part-00001.parquet").exists(),
    ]
    for number, moment in enumerate(moments):
        assert kill(start(*label("killed"), *(["--resume"] if number else [])), moment)
    code, _, err = lasro(*label("killed"), "--resume")
    assert code == 0, err
    assert rows(out) == rows(labels)


@pytest.mark.slow
@pytest.mark.parametrize("beside", [[], ["--reward-workers", 1]], ids=["here", "in workers"])
@pytest.mark.parametrize("seed", range(2))
def test_labelling_killed_at_ten_random_moments(start, lasro, label, labels, place, seed, beside):
    rng, out = random.Random(seed), f"random-{seed}-{len(beside)}"
    for number in range(10):
        ends = time.monotonic() + rng.uniform(0.3, 2.5 if not beside else 9)
        kill(start(*label(out), *beside, *(["--resume"] if number else [])), lambda ends=ends: time.monotonic() > ends)
    code, _, err = lasro(*label(out), *beside, "--resume")
    assert code == 0, err
    assert rows(place / out) == rows(labels)


def distil(place, labels, out):
    """The arguments of a training of six steps, with a checkpoint after each."""
    return ["distill", "--data", labels, "--backbone", "latent-cnn", "--steps", 6, "--out", place / out]


def weights(folder):
    return (folder / "surrogate" / "model.safetensors").read_bytes()


def check_the_same(lasro, place, labels, out):
    """Finish a killed training and compare it with one in peace."""
    code, _, err = lasro(*distil(place, labels, out), "--resume")
    assert code == 0, err
    if not (place / "trained").exists():
        code, _, err = lasro(*distil(place, labels, "trained"))
        assert code == 0, err
    assert weights(place / out) == weights(place / "trained")


def test_training_killed_again_and_again_gives_the_weights_of_one_in_peace(start, lasro, labels, place):
    checkpoints = place / "cut" / "checkpoints"
    assert kill(start(*distil(place, labels, "cut")), lambda: (checkpoints / "distill.pt").exists())
    step = torch.load(checkpoints / "distill.pt", weights_only=True)["step"]
    assert kill(start(*distil(place, labels, "cut"), "--resume"), lambda: (checkpoints / "distill.tmp").exists())
    assert 1 <= step < 6
    check_the_same(lasro, place, labels, "cut")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_training_killed_at_random_moments(start, lasro, labels, place, seed):
    rng, out = random.Random(seed), f"cut-{seed}"
    for number in range(3):
        ends = time.monotonic() + rng.uniform(0.5, 4)
        kill(start(*distil(place, labels, out), *(["--resume"] if number else [])), lambda ends=ends: time.monotonic() > ends)
    check_the_same(lasro, place, labels, out)
