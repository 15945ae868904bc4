"""`lasro generate` as a person runs it: files, grids, what stands in them, and two generators side by side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cli.picture_metadata import infotext, read_infotext, read_parameters, save_png
from finetune.generators.pipeline import load_generator
from finetune.lora import attach_lora, lora_state, save_lora
from tests.tiny.surrogate import build_folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tiny_sdxl):
    """A LoRA that changes much."""
    unet = load_generator(str(tiny_sdxl)).unet
    parameters = attach_lora(unet, rank=2, targets="all", seed=0)
    for parameter in parameters:
        parameter.data.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("adapter")
    save_lora(lora_state(unet), folder)
    return folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory, tiny_sdxl):
    """A surrogate folder to search by."""
    folder = tmp_path_factory.mktemp("searched") / "surrogate"
    build_folder(folder, load_generator(str(tiny_sdxl)), reward="brightness", name=str(tiny_sdxl))
    return folder


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_folder_of_pictures_and_a_grid(lasro, tiny_sdxl, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\na dog\na tree\n")
    given = ["--generator", tiny_sdxl, "--prompts", tmp_path / "prompts.txt", "--max-prompts", 2, "--prompt", "a boat"]
    code, found, err = lasro("generate", *given, "--seed", "0-1", "--seed", 7, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    assert [(row["prompt"], row["seed"]) for row in found["pictures"]] == [
        (prompt, seed) for prompt in ("a boat", "a cat", "a dog") for seed in (0, 1, 7)
    ]
    files = [row["base"]["file"] for row in found["pictures"]]
    assert len(set(files)) == 9
    for row in found["pictures"]:
        held = read_parameters(row["base"]["file"])
        assert (held["prompt"], held["seed"]) == (row["prompt"], row["seed"])
    assert pixels(tmp_path / "out" / "grid.png").shape[1] > 3 * 128
    assert len(read_parameters(tmp_path / "out" / "grid.png")["pictures"]) == 9


def test_like_makes_a_picture_again(lasro, tiny_sdxl, adapter, tmp_path):
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    given = ["--generator", tiny_sdxl, "--adapter", adapter, "--prompt", 'a "red", cat: übergroß 猫', "--seed", 11]
    assert lasro("generate", *given, "--num-inference-steps", 1, "--out", first)[0] == 0
    assert lasro("generate", "--like", first, "--out", again)[0] == 0
    assert lasro("generate", "--like", first, "--seed", 12, "--out", other)[0] == 0
    assert (pixels(first) == pixels(again)).all()
    assert not (pixels(first) == pixels(other)).all()
    assert read_parameters(first) == read_parameters(again)


@pytest.mark.parametrize("search", [("--best-of", 3), ("--optimize-noise", 2)])
def test_like_searches_again(lasro, tiny_sdxl, searched, tmp_path, search):
    first, again, plain = (tmp_path / f"{name}.png" for name in ("first", "again", "plain"))
    given = ["--generator", tiny_sdxl, "--prompt", "a cat", "--seed", 4]
    code, _, err = lasro("generate", *given, "--surrogate", searched, *search, "--out", first)
    assert code == 0, err
    assert lasro("generate", "--like", first, "--out", again)[0] == 0
    assert lasro("generate", *given, "--out", plain)[0] == 0
    assert (pixels(first) == pixels(again)).all()
    assert not (pixels(first) == pixels(plain)).all()
    assert read_parameters(first) == read_parameters(again)


def test_overwriting_takes_earlier_pictures_out(lasro, tiny_sdxl, adapter, tmp_path):
    out, given = tmp_path / "out", ["--generator", tiny_sdxl, "--prompt", "a cat"]
    assert lasro("generate", *given, "--adapter", adapter, "--compare", "--seed", "0-1", "--out", out)[0] == 0
    Image.new("RGB", (2, 2)).save(out / "mine.png")
    (out / "base" / "notes.txt").write_text("mine")
    code, _, err = lasro("generate", *given, "--seed", 5, "--overwrite", "--out", out)
    assert code == 0, err
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert left == ["0000-a-cat-5.png", "base/notes.txt", "grid.png", "mine.png"]
    assert not (out / "tuned").exists()


def test_base_and_tuned_side_by_side_with_scores(lasro, tiny_sdxl, adapter, tmp_path):
    given = ["--generator", tiny_sdxl, "--adapter", adapter, "--compare", "--reward", "brightness", "--reward", "contrast"]
    command = ["generate", *given, "--prompt", "a cat", "--seed", "0-2", "--batch-size", 2]
    code, found, err = lasro(*command, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    for row in found["pictures"]:
        base, tuned = row["base"], row["tuned"]
        assert base["file"].replace("/base/", "/tuned/") == tuned["file"]
        assert pixels(base["file"]).mean() / 255 == pytest.approx(base["scores"]["brightness"], abs=0.02)
        assert base["scores"] != tuned["scores"]
        assert "adapter" not in read_parameters(base["file"])
        assert read_parameters(tuned["file"])["adapter"] == str(adapter)
        assert read_parameters(tuned["file"])["scores"] == tuned["scores"]
    means = found["means"]["brightness"]
    gain = np.mean([row["tuned"]["scores"]["brightness"] - row["base"]["scores"]["brightness"] for row in found["pictures"]])
    assert means["tuned"] - means["base"] == pytest.approx(gain)
    assert means["ci95"][0] <= gain <= means["ci95"][1]
    code, _, err = lasro(
        "generate", "--generator", tiny_sdxl, "--prompt", "a cat", "--seed", 1, "--out", tmp_path / "alone.png"
    )
    assert code == 0, err
    apart = np.abs(pixels(tmp_path / "alone.png").astype(int) - pixels(found["pictures"][1]["base"]["file"]))
    assert apart.max() <= 1  # the adapter left no trace; a batch of one rounds otherwise


VALUES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).filter(lambda text: text == text.strip())


@given(
    prompt=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\x00")),
    generator=VALUES,
    seed=st.integers(0, 2**63),
)
def test_what_is_written_is_read_again(tmp_path_factory, prompt, generator, seed):
    made = {"prompt": prompt, "seed": seed, "generator": generator, "num_inference_steps": 2, "sampler": "lcm"}
    path = tmp_path_factory.getbasetemp() / "round-trip.png"
    save_png(Image.new("RGB", (2, 2)), path, made)
    assert read_parameters(path) == made
    found = read_infotext(infotext(made))
    assert found["prompt"] == prompt
    assert (found["generator"], found["seed"], found["num_inference_steps"]) == (generator, str(seed), "2")


def test_the_text_of_another_tool_is_read(tmp_path):
    """As AUTOMATIC1111's web UI writes it."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    line = 'Steps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 5, Size: 512x768, Model: "a, b", Version: v1.10.1'
    info.add_text("parameters", f"a cat, best quality\n{line}")
    Image.new("RGB", (2, 2)).save(tmp_path / "theirs.png", pnginfo=info)
    found = read_parameters(tmp_path / "theirs.png")
    assert (found["prompt"], found["seed"], found["generator"], found["size"]) == (
        "a cat, best quality",
        "5",
        "a, b",
        "512x768",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.png"], "give --prompt TEXT, or --prompts"),
        (["--prompt", "x"], "give --out NAME.png, or --out FOLDER"),
        (["--prompt", "x", "--out", "x.png", "--compare"], "give --adapter FOLDER"),
        (["--prompt", "x", "--out", "x.png", "--seed", "1-"], "--seed 1-: write a whole number, a range"),
        (["--prompt", "x", "--out", "x.png", "--seed", "5-2"], "--seed 5-2"),
        (["--like", "{place}/plain.png", "--out", "x.png"], "holds no parameters"),
        (["--like", "{place}/none.png", "--out", "x.png"], "not a readable picture"),
        (["--prompt", "x", "--out", "x.png", "--reward", "brightnes"], "did you mean 'brightness'?"),
    ],
)
def test_mistakes_are_named(lasro, tmp_path, arguments, message):
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png")
    code, out, err = lasro("generate", *[part.format(place=tmp_path) for part in arguments])
    assert (code, out) == (2, "")
    assert message in err
