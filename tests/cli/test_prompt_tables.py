"""Prompt tables in the commands: what goes with a prompt reaches the reward, labelling, training and evaluating."""

import json

import pytest

from reward_zoo.rewards.geneval import GenEval
from surrogate.folder import load_surrogate

DETECTOR = """
def boxes(pictures):
    found = []
    for picture in pictures:
        light = int(picture.mean() * 1000) % 4
        found.append([("cat" if picture.mean() > 127 else "dog", 0.95, (9 * n, 0, 9 * n + 8, 20)) for n in range(light)])
    return found
"""
COUNTS = [(name, count) for name in ("cat", "dog") for count in (1, 2, 3)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Records in flow_grpo's layout, and a detector."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "own.py").write_text(DETECTOR)
    records = [
        {"tag": "counting", "include": [{"class": name, "count": n}], "exclude": [], "prompt": f"a photo of {n} {name}"}
        for name, n in COUNTS
    ]
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    (folder / "plain.txt").write_text("a photo of 1 cat\na photo of 2 dog\n")
    return folder


def test_geneval_is_distilled_from_records_with_hindsight(lasro, place, tiny_sdxl, monkeypatch):
    monkeypatch.chdir(place)
    drawn, own = [], GenEval.hindsight
    monkeypatch.setattr(GenEval, "hindsight", lambda *given, **known: drawn.append(own(*given, **known)) or drawn[-1])
    made = ["--generator", tiny_sdxl, "--reward", "geneval:detector=own.py:boxes", "--prompts", "records.jsonl"]
    small = ["--backbone", "encoder", "--steps", 2, "--json"]
    code, whole, err = lasro("distill", *made, "--samples", 48, *small, "--out", "whole")
    assert code == 0, err
    found = [item for item in drawn if item is not None]
    assert len(found) > 10
    assert {prompt for prompt, _ in found} <= {f"a photo of {n} {name}" for name, n in COUNTS}
    assert len({score for _, score in found}) > 1
    assert "metadata" not in json.dumps(load_surrogate(place / "whole" / "surrogate").config)

    code, _, err = lasro("label", *made, "--samples", 48, "--out", "labels", "--json")
    assert code == 0, err
    monkeypatch.chdir("/")  # labels know where the detector is
    code, later, err = lasro("distill", "--data", place / "labels", *small, "--out", place / "later")
    assert code == 0, err
    assert later["pairwise"] == whole["pairwise"]
    weights = [(place / run / "surrogate" / "model.safetensors").read_bytes() for run in ("whole", "later")]
    assert weights[0] == weights[1]

    asked = ["evaluate", "--surrogate", place / "later" / "surrogate", "--noises", 2, "--gradient-samples", 2, "--json"]
    code, found, err = lasro(*asked, "--prompts", place / "records.jsonl", "--max-prompts", 3)
    assert code == 0, err
    assert found["samples"] == 12
    code, _, err = lasro(*asked, "--prompts", place / "plain.txt")
    assert code == 2
    assert "geneval: no metadata is given for the prompt 'a photo of 1 cat' (it needs one)" in err


def test_a_table_that_contradicts_the_labels_is_refused(lasro, place, tiny_sdxl):
    made = ["label", "--generator", tiny_sdxl, "--samples", 16, "--out", place / "targets", "--json"]
    made += ["--reward", "color_target", "--prompts", place / "targets.csv"]
    (place / "targets.csv").write_text("prompt,target\na room,red\na wall,#0000ff\n")
    code, labelled, err = lasro(*made)
    assert (code, labelled["labels"]) == (0, 16), err
    (place / "targets.csv").write_text("prompt,target\na room,green\na wall,#0000ff\n")
    code, _, err = lasro(*made, "--resume")
    assert code == 2
    assert "'a room' stands twice in the prompt tables, with target 'red' and 'green'" in err
