"""`lasro rewards score | calibrate | agreement` and `lasro cache`, as people type them."""

import csv
import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.tiny.rewards import SPECS

GREYS = {"a.png": 0, "b.png": 51, "c.png": 255}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (name, grey) in enumerate(GREYS.items()):
        Image.new("RGB", (16 + 8 * number, 16), (grey,) * 3).save(folder / name)
    return folder


@pytest.mark.parametrize("kind", ["files", "folder", "glob", "csv", "jsonl", "parquet"])
def test_every_way_to_name_pictures(lasro, pictures, kind):
    rows = [{"image": name, "prompt": f"grey {grey}"} for name, grey in GREYS.items()]
    if kind == "csv":
        with (pictures / "t.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["image", "prompt"])
            writer.writeheader()
            writer.writerows(rows)
    (pictures / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    if kind == "parquet":
        import pyarrow as pa

        pq.write_table(pa.Table.from_pylist(rows), pictures / "t.parquet")
    names = {"files": [pictures / name for name in GREYS], "folder": [pictures], "glob": [pictures / "*.png"]}
    code, found, err = lasro("rewards", "score", *names.get(kind, [pictures / f"t.{kind}"]), "--reward", "brightness", "--json")
    assert code == 0, err
    assert [row["score"] for row in found] == pytest.approx([0.0, 0.2, 1.0])
    assert [row["prompt"] for row in found] == [None] * 3 if kind in names else [row["prompt"] for row in rows]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_several_rewards_into_a_table(lasro, pictures, tmp_path, suffix):
    out = tmp_path / f"scores.{suffix}"
    code, _, err = lasro("rewards", "score", pictures, "--reward", "brightness", "--reward", "artifact_guard", "--out", out)
    assert code == 0, err
    text = "" if suffix == "parquet" else out.read_text()
    if suffix == "csv":
        rows = list(csv.DictReader(text.splitlines()))
    else:
        rows = pq.read_table(out).to_pylist() if suffix == "parquet" else [json.loads(line) for line in text.splitlines()]
    assert [row["reward"] for row in rows] == ["brightness", "artifact_guard"] * 3
    assert [float(row["score"]) for row in rows[::2]] == pytest.approx([0.0, 0.2, 1.0])
    parts = rows[1]["components"]
    assert (parts if suffix == "jsonl" else json.loads(parts))["dark"] == 1.0
    code, _, err = lasro("rewards", "score", pictures, "--reward", "brightness", "--out", out)
    assert code == 2
    assert "exists" in err


def test_a_broken_picture_is_reported_and_the_rest_scored(lasro, pictures):
    (pictures / "b.png").write_bytes((pictures / "c.png").read_bytes()[:40])
    code, rows, err = lasro("rewards", "score", pictures, "--reward", "brightness", "--json")
    assert code == 1
    assert [row["score"] for row in rows] == [0.0, None, 1.0]
    assert "not a readable picture" in rows[1]["error"]
    assert "1 of 3 scores failed" in err


def test_why_a_judge_gave_no_score_is_said(lasro, pictures):
    for name in GREYS:  # of one size, so that they are one batch
        Image.new("RGB", (16, 16)).save(pictures / name)
    prompts = [part for prompt in ("a lamp", "garbage", "refuse") for part in ("--prompt", prompt)]
    code, rows, err = lasro("rewards", "score", pictures, "--reward", SPECS["vlm_judge"](pictures), *prompts, "--json")
    assert code == 1
    assert [row["score"] is None for row in rows] == [False, True, True]
    assert rows[1]["perceived"] == "I cannot say."
    assert rows[1]["error"] == "the reward gave no score (NaN): I cannot say."
    assert "400" in rows[2]["error"]
    assert "the first: " in err
    assert "I cannot say." in err


def test_what_a_reward_prints_is_no_data(lasro, pictures):
    own = "print('loading')\n\ndef one(images):\n    print('asked')\n    return [1.0] * len(images)\n"
    (pictures / "own.py").write_text(own)
    score = ["rewards", "score", pictures, "--reward", f"{pictures / 'own.py'}:one"]
    code, rows, err = lasro(*score, "--json")
    assert code == 0, err
    assert [row["score"] for row in rows] == [1.0] * 3
    assert err.splitlines()[:2] == ["loading", "asked"]
    code, table, _ = lasro(*score)
    assert table.splitlines()[0].startswith("image ")


def test_references_and_targets_by_flag(lasro, pictures, tmp_path):
    spec = SPECS["dino_similarity"](tmp_path)
    code, rows, err = lasro("rewards", "score", pictures, "--reward", spec, "--reference", pictures / "c.png", "--json")
    assert code == 0, err
    assert rows[2]["score"] == pytest.approx(1.0, abs=1e-4)
    assert rows[0]["score"] < 0.9999
    code, rows, err = lasro("rewards", "score", pictures, "--reward", "color_target", "--target", "white", "--json")
    assert code == 0, err
    assert rows[2]["score"] == pytest.approx(0.0, abs=1e-6)
    assert rows[0]["score"] < rows[1]["score"] < rows[2]["score"]


def test_scores_are_kept_and_forgotten(lasro, pictures):
    score = ["rewards", "score", pictures, "--reward", "brightness", "--json"]
    lasro(*score, "--no-cache")
    assert lasro("cache", "info", "--json")[1]["scores"] == 0
    first = lasro(*score)[1]
    assert lasro("cache", "info", "--json")[1]["rewards"] == {"brightness": 3}
    assert lasro(*score)[1] == first
    code, _, err = lasro("cache", "clear", "--reward", "brigthness")
    assert code == 2
    assert "did you mean 'brightness'?" in err
    assert lasro("cache", "clear", "--reward", "contrast", "--json")[1] == {"cleared": 0}
    assert lasro("cache", "clear", "--reward", "0.5*brightness+0.5*contrast", "--json")[1] == {"cleared": 3}
    assert lasro(*score)[1] == first
    assert lasro("cache", "clear", "--json")[1] == {"cleared": 3}


def test_calibration_changes_what_a_composite_says(lasro, pictures):
    score = ["rewards", "score", pictures, "--reward", "normalized(brightness)", "--json"]
    before = [row["score"] for row in lasro(*score)[1]]
    code, fitted, err = lasro("rewards", "calibrate", "brightness", "--images", pictures, "--json")
    assert code == 0, err
    assert fitted["mean"] == pytest.approx(0.4)
    assert fitted["quantiles"][0] == pytest.approx(0.0)
    assert fitted["quantiles"][-1] == pytest.approx(1.0)
    after = [row["score"] for row in lasro(*score)[1]]
    assert sum(after) == pytest.approx(0.0, abs=1e-5)
    assert before != after


def test_agreement_with_preferences(lasro, pictures):
    (pictures / "votes.csv").write_text("prompt,better,worse\nx,c.png,a.png\nx,c.png,b.png\nx,a.png,b.png\nx,b.png,b.png\n")
    code, found, err = lasro("rewards", "agreement", "brightness", "--preferences", pictures / "votes.csv", "--json")
    assert code == 0, err
    assert found["accuracy"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found["ties"] == 1
    assert found["ci95"][0] <= found["accuracy"] <= found["ci95"][1]


@pytest.mark.parametrize("name", ["prompt", "caption", "text"])
def test_agreement_reads_prompts_under_any_name(lasro, pictures, name):
    (pictures / "own.py").write_text("def said(images, prompts):\n    return [float(prompt == 'x') for prompt in prompts]\n")
    (pictures / "votes.csv").write_text(f"{name},better,worse\nx,c.png,a.png\n")
    votes = ["--preferences", pictures / "votes.csv"]
    code, found, err = lasro("rewards", "agreement", f"{pictures / 'own.py'}:said", *votes, "--json")
    assert code == 0, err
    assert found["ties"] == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,prompt\na.png,x\n", "no column 'image'"),
        ("image,prompt\n", "no rows"),
        ("image,prompt\n,x\n", "row 1 has no 'image'"),
        ("image,metadata\na.png,{no json\n", "holds no JSON"),
        ("image,prompt\ngone.png,x\n", "no such file"),
        (
            "image,prompt\na.png,x\na.png,a cat, a dog\n",
            "row 2 has more fields than the header; put texts with commas in double",
        ),
    ],
)
def test_bad_tables_are_named(lasro, pictures, table, message):
    (pictures / "t.csv").write_text(table)
    code, out, err = lasro("rewards", "score", pictures / "t.csv", "--reward", "brightness")
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "scores.txt"], ".csv, .jsonl or .parquet"),
        (["--out", "no/such/scores.csv"], "does not exist"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--prompt", "a", "--prompt", "b"], "--prompt: 2 given for 3"),
    ],
)
def test_bad_flags_are_named(lasro, pictures, arguments, message):
    code, _, err = lasro("rewards", "score", pictures, "--reward", "brightness", *arguments)
    assert code == 2
    assert message in err
