"""A table of mistakes: each is one line on stderr, exit code 2, and leaves nothing behind."""

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from finetune.generators.pipeline import load_generator
from surrogate.config import DistillConfig
from surrogate.store import Label, LabelledStore
from tests.tiny.sdxl import build_sdxl
from tests.tiny.surrogate import build_folder

OWN = """
def raises(images): raise RuntimeError("no GPU")
def short(images): return [1.0]
def nan(images): return images.mean((1, 2, 3)) * float("nan")
def mostly_nan(images): return [float("nan") if row % 3 else 0.5 for row in range(len(images))]
def by_prompt(images, prompts): return [float(len(prompt)) for prompt in prompts]
def needy(images, metadata): return [1.0 for _ in images]
def constant(images): return images.mean((1, 2, 3)) * 0
def light(images): return images.mean((1, 2, 3))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_sdxl):
    """A folder with everything a mistake needs."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "own.py").write_text(OWN)
    (folder / "prompts.txt").write_text("a cat\na dog\na tree house\n")
    (folder / "empty.txt").write_text("\n \n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "exists").mkdir()
    (folder / "exists" / "file").write_text("mine")
    generator = load_generator(str(tiny_sdxl))
    for name in ("surrogate", "damaged"):
        build_folder(folder / name, generator, reward=f"{folder}/own.py:light", name=str(tiny_sdxl))
    (folder / "damaged" / "model.safetensors").write_bytes(b"x")
    build_sdxl(folder / "wide", latent_channels=8)
    (folder / "one.txt").write_text("a cat\n")
    (folder / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "pictures" / "nameless.png")
    LabelledStore.create(folder / "no_labels", generator=str(tiny_sdxl), reward="symmetry", latent_space={})
    (folder / "half.csv").write_text("prompt,target\na cat,CAT\na dog,\n")
    (folder / "half.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a d')
    labels = LabelledStore.create(folder / "labels", **_named(generator, reward="brightness"))
    labels.append(torch.randn(8, 4, 16, 16), [Label(f"p{row % 4}", row, 1, row / 8) for row in range(8)])
    return folder


def _named(generator, reward):
    return {"generator": generator.name, "reward": reward, "latent_space": generator.latent_space.as_dict()}


DISTILL = ["distill", "--generator", "{tiny}", "--prompts", "{place}/prompts.txt", "--samples", "24", "--out", "{place}/out"]
TUNE = ["finetune", "--prompts", "{place}/prompts.txt", "--eval-prompts", "{place}/prompts.txt", "--out", "{place}/out"]
MISTAKES = {
    "unknown command": (["distil"], "No such command 'distil'. Did you mean 'distill'?"),
    "unknown option": (["distill", "--rewrad", "ocr"], "--rewrad"),
    "missing option": (["finetune"], "--surrogate"),
    "neither reward nor labels": (["distill"], "give --reward SPEC, or --data"),
    "no labels there": (["distill", "--data", "{place}/exists"], "not a labelled store"),
    "prompts and labels": (["distill", "--data", "{place}/exists", "--prompts", "signs-train"], "exclude each other"),
    "pictures and labels": (["distill", "--data", "{place}/no_labels", "--images", "{place}/pictures"], "exclude each other"),
    "pictures without prompts": (
        [*DISTILL, "--reward", "symmetry", "--images", "{place}/pictures"],
        "nameless.png has no prompt",
    ),
    "no pictures there": (
        [*DISTILL, "--reward", "symmetry", "--images", "{place}/nofolder"],
        "--images {place}/nofolder: no such folder",
    ),
    "labels of another latent space": (
        ["distill", "--data", "{place}/labels", "--generator", "{place}/wide", "--out", "{place}/out"],
        "labels holds 4 scaled by 0.13025; give the --generator they were labelled with",
    ),
    "empty store": (["distill", "--data", "{place}/no_labels", "--out", "{place}/out"], "the store is empty"),
    "one prompt": ([*DISTILL, "--reward", "symmetry", "--prompts", "{place}/one.txt", "--out", "{place}/one"], "too few"),
    "no such device": ([*DISTILL, "--reward", "symmetry", "--device", "gpu"], "--device gpu: no such device"),
    "weights to share, and nobody": ([*DISTILL, "--reward", "symmetry", "--shard"], "start them by accelerate launch"),
    "no noise levels": ([*DISTILL, "--reward", "symmetry", "--max-time", "0"], "--max-time 0"),
    "not a number": ([*DISTILL, "--reward", "ocr", "--steps", "many"], "--steps"),
    "unknown reward": ([*DISTILL, "--reward", "orc"], "unknown reward 'orc'; did you mean 'ocr'?"),
    "unknown reward option": ([*DISTILL, "--reward", "ocr:engin=x"], "no option 'engin'; did you mean 'engine'?"),
    "unknown generator": ([*DISTILL, "--reward", "symmetry", "--generator", "tiny-sign"], "did you mean 'tiny-signs'?"),
    "unknown prompt set": ([*DISTILL, "--reward", "symmetry", "--prompts", "signs-tset"], "did you mean 'signs-test'"),
    "missing reward file": ([*DISTILL, "--reward", "{place}/no.py:f"], "no such file"),
    "missing function": ([*DISTILL, "--reward", "{place}/own.py:ligth"], "did you mean 'light'?"),
    "empty prompt file": ([*DISTILL, "--reward", "symmetry", "--prompts", "{place}/empty.txt"], "holds no prompt"),
    "prompt file not text": ([*DISTILL, "--reward", "symmetry", "--prompts", "{place}/binary.txt"], "UTF-8"),
    "prompt without a quoted word": ([*DISTILL, "--reward", "ocr"], "quotes no text to read"),
    "reward raises": ([*DISTILL, "--reward", "{place}/own.py:raises"], "raised RuntimeError: no GPU"),
    "reward of wrong length": ([*DISTILL, "--reward", "{place}/own.py:short"], "returned 1 scores for"),
    "reward is NaN": ([*DISTILL, "--reward", "{place}/own.py:nan"], "gave no score (NaN) for"),
    "reward is mostly NaN": ([*DISTILL, "--reward", "{place}/own.py:mostly_nan"], "gave no score (NaN) for"),
    "reward ties within each prompt": (
        [*DISTILL, "--reward", "{place}/own.py:by_prompt", "--out", "{place}/ties"],
        "every prompt's samples have equal scores",
    ),
    "metadata for a prompt set": (
        [*DISTILL, "--reward", "{place}/own.py:needy"],
        "needy: no metadata is given for the prompt 'a cat' (it needs one)",
    ),
    "a target for some": (
        [*DISTILL, "--reward", "symmetry", "--prompts", "{place}/half.csv"],
        "no target is given for the prompt 'a dog', and others have one",
    ),
    "half a table": ([*DISTILL, "--reward", "symmetry", "--prompts", "{place}/half.jsonl"], "cannot be read as jsonl"),
    "unet of another latent space": (
        [*DISTILL, "--reward", "symmetry", "--backbone", "encoder", "--backbone-weights", "{place}/wide", "--out", "{place}/u"],
        "has 8 latent channels",
    ),
    "reward is constant": (
        [*DISTILL, "--reward", "{place}/own.py:constant", "--out", "{place}/constant"],
        "same score (0.0)",
    ),
    "out exists": ([*DISTILL, "--reward", "symmetry", "--out", "{place}/exists"], "use --overwrite"),
    "out is a file": ([*DISTILL, "--reward", "symmetry", "--out", "{place}/own.py"], "is a file"),
    "out cannot be written": ([*DISTILL, "--reward", "symmetry", "--out", "/proc/lasro"], "cannot write there"),
    "bad backbone": ([*DISTILL, "--reward", "symmetry", "--backbone", "half"], "--backbone half"),
    "unknown loss": ([*DISTILL, "--reward", "symmetry", "--loss", "hinge"], "--loss hinge"),
    "one noise": ([*DISTILL, "--reward", "symmetry", "--noises", "1"], "--noises 1"),
    "no surrogate": ([*TUNE, "--surrogate", "{place}/nowhere"], "config.json is missing"),
    "damaged surrogate": ([*TUNE, "--surrogate", "{place}/damaged"], "damaged"),
    "other latent space": ([*TUNE, "--surrogate", "{place}/surrogate", "--generator", "{place}/wide"], "8 latent channels"),
    "unknown guard": ([*TUNE, "--surrogate", "{place}/surrogate", "--guard", "orc"], "did you mean 'ocr'?"),
    "rank 0": ([*TUNE, "--surrogate", "{place}/surrogate", "--lora-rank", "0"], "--lora-rank 0"),
    "no prompts of its own": (
        ["finetune", "--surrogate", "{place}/surrogate", "--out", "{place}/out"],
        "--prompts: this generator",
    ),
    "no steps": (["generate", "--prompt", "x", "--out", "x.png", "--num-inference-steps", "0"], "--num-inference-steps 0"),
    "no prompts wanted": (
        ["generate", "--prompts", "signs-test", "--out", "x.png", "--max-prompts", "0"],
        "--max-prompts 0: must",
    ),
    "seed too large": (
        ["generate", "--prompt", "x", "--out", "x.png", "--seed", "99999999999999999999"],
        "--seed 99999999999999999999: must be at most 9223372036854775807",
    ),
    "nothing to compare": (
        ["quickstart", "--eval-samples", "0", "--out", "{place}/out"],
        "--eval-samples 0: must be at least 1",
    ),
    "search without a surrogate": (["generate", "--prompt", "x", "--out", "x.png", "--best-of", "4"], "need --surrogate"),
    "two searches": (
        ["generate", "--prompt", "x", "--out", "x.png", "--best-of", "4", "--optimize-noise", "2"],
        "exclude each other",
    ),
    "picture that is no png": (["generate", "--prompt", "x", "--out", "x.gif"], ".png"),
    "missing adapter": (
        ["generate", "--generator", "{tiny}", "--prompt", "x", "--out", "{place}/x.png", "--adapter", "{place}"],
        "pytorch_lora_weights.safetensors is missing",
    ),
    "picture missing": (["rewards", "score", "no.png", "--reward", "symmetry"], "no such file"),
    "picture is no picture": (["rewards", "score", "{place}/own.py", "--reward", "symmetry"], "not a readable picture"),
    "folder without pictures": (["rewards", "score", "{place}/exists", "--reward", "symmetry"], "holds no picture"),
    "info of nothing": (["rewards", "info", "brigthness"], "did you mean 'brightness'?"),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_is_one_line_and_exit_code_2(lasro, place, tiny_sdxl, mistake):
    arguments, message = MISTAKES[mistake]
    code, out, err = lasro(*[str(argument).format(place=place, tiny=tiny_sdxl) for argument in arguments])
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2, err
    assert out == ""
    assert len(lines) == 1, err
    assert message.format(place=place) in lines[0]
    assert "Traceback" not in err
    assert not (place / "out").exists()
    assert (place / "exists" / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 12580736 vs 12580628"),
        OSError(28, "No space left on device", "shard-00000.safetensors"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(lasro, place, tiny_sdxl, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr("surrogate.store.save_file", full)
    code, out, err = lasro(*[part.format(place=place, tiny=tiny_sdxl) for part in [*DISTILL, "--reward", "brightness"]])
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "space" in lines[0]
    assert "Traceback" not in err
    assert not (place / "out").exists()


def test_labels_go_on_after_a_full_disk(lasro, place, tiny_sdxl, monkeypatch):
    """Full while the second shard's index is written: the first shard stays, and --resume makes up for the rest."""
    monkeypatch.setitem(DistillConfig.__init__.__kwdefaults__, "label_batch_size", 4)
    given = [part.format(place=place, tiny=tiny_sdxl) for part in ["label", *DISTILL[1:-1]]]
    given = [*given, place / "filled", "--reward", "brightness"]
    write = pq.write_table

    def full(table, where):
        if "part-00001" in str(where):
            where.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(where))
        write(table, where)

    with monkeypatch.context() as disk:
        disk.setattr("surrogate.store.pq.write_table", full)
        code, _, err = lasro(*given)
        assert code == 2
        assert "No space left on device" in err
    assert len(LabelledStore.open(place / "filled" / "labels")) == 8
    assert lasro(*given, "--resume")[0] == 0
    assert lasro(*given, "--out", place / "roomy")[0] == 0
    rows = [LabelledStore.open(place / run / "labels").labels() for run in ("filled", "roomy")]
    assert rows[0] == rows[1]
