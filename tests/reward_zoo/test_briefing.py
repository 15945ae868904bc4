"""Targets, metadata and references travel with prompts: a table's rows reach the reward in every call."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.briefing import briefed, facts_of, save_facts
from reward_zoo.errors import MissingInputError, TableError
from tests.tiny.rewards import build_detector

ROWS = [
    {"prompt": "a cat", "target": "CAT", "metadata": {"include": [{"class": "cat", "count": 1}]}},
    {"prompt": "a dog", "target": "DOG", "metadata": {"include": [{"class": "dog", "count": 1, "color": "red"}]}},
]
SPY = """
def spy(images, prompts, targets=None, metadata=None):
    seen.append((list(prompts), targets, metadata))
    return images.mean((1, 2, 3))
seen = []
def told(images, metadata): return [record["worth"] for record in metadata]
"""


@pytest.fixture
def spy(tmp_path):
    """A reward that notes down what it is told, under `.function.__globals__["seen"]`."""
    (tmp_path / "spy.py").write_text(SPY)
    return reward_zoo.load(f"{tmp_path / 'spy.py'}:spy")


def table(path, rows=ROWS):
    """The same rows in any format."""
    flat = [{**row, "metadata": json.dumps(row["metadata"])} for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        cells = [[value.replace('"', '""') for value in row.values()] for row in flat]
        path.write_text("\n".join([",".join(flat[0]), *('"' + '","'.join(row) + '"' for row in cells)]))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_call_is_told_what_the_table_says(tmp_path, spy, images, kind):
    reward = briefed(spy, facts_of(table(tmp_path / f"prompts.{kind}"), None, "signs-train"), ["a cat", "a dog"])
    prompts = ["a dog", "a cat", "a dog", "a dog"]
    assert torch.equal(reward(images=images, prompts=prompts).values, spy(images=images, prompts=prompts).values)
    of = {row["prompt"]: row for row in ROWS}
    told = spy.function.__globals__["seen"][0]
    assert told == (prompts, *([of[prompt][name] for prompt in prompts] for name in ("target", "metadata")))
    reward(images=images, prompts=prompts, targets=["given"] * 4)  # what the call gives goes before
    assert spy.function.__globals__["seen"][-1][1] == ["given"] * 4


def test_a_whole_row_is_the_record_where_metadata_is_needed_and_has_no_column(tmp_path, images):
    records = [{"tag": "single_object", "prompt": row["prompt"], "exclude": [], **row["metadata"]} for row in ROWS]
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    plain, facts = reward_zoo.load(build_detector(tmp_path)), facts_of(tmp_path / "records.jsonl")
    prompts = ["a dog", "a cat", "a dog", "a cat"]
    want = plain(images=images, metadata=[records[prompt == "a dog"] for prompt in prompts])
    assert torch.equal(briefed(plain, facts, ["a cat", "a dog"])(images=images, prompts=prompts).values, want.values)
    mixed = briefed(reward_zoo.load(f"{build_detector(tmp_path)}+brightness"), facts, ["a cat"])
    assert mixed(images=images, prompts=prompts).components[build_detector(tmp_path)].tolist() == want.values.tolist()


def test_references_are_found_from_the_tables_folder_whatever_their_size(tmp_path, images):
    (tmp_path / "pictures").mkdir()
    for name, size in (("one", (48, 32)), ("two", (90, 70))):
        Image.new("RGB", size, (200, 10, 10)).save(tmp_path / "pictures" / f"{name}.png")
    rows = "prompt,reference\na,pictures/one.png\nb,pictures/two.png\n"
    (tmp_path / "prompts.csv").write_text(rows)
    seen = []

    class Reference(reward_zoo.Reward):
        card = reward_zoo.RewardCard(
            name="near", summary="s", range=(0, 1), typical=(0, 1), source="s", license="l", needs=("reference",)
        )

        def score(self, inputs):
            seen.append(inputs.references)
            return inputs.images.mean((1, 2, 3))

    briefed(Reference(), facts_of(tmp_path / "prompts.csv"))(images=images, prompts=["a", "b", "b", "a"])
    assert seen[0].shape == images.shape
    assert seen[0][:, 0].mean().item() == pytest.approx(200 / 255)


def test_gradients_card_and_plain_rewards_stay_what_they_are(images):
    light = reward_zoo.load("brightness")
    assert briefed(light, {}) is light
    told = briefed(light, {"a": {"prompt": "a", "target": "x"}})
    assert (told.card.name, told.card.range, told.card.differentiable) == ("brightness", light.card.range, True)
    pixels = images.clone().requires_grad_(True)
    told(images=pixels, prompts="a").values.sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_what_is_missing_is_named(tmp_path, spy, images):
    needy = reward_zoo.load(f"{tmp_path / 'spy.py'}:told")
    with pytest.raises(MissingInputError, match=r"told: no metadata is given for the prompt 'a' \(it needs one\)"):
        briefed(needy, {}, ["a"])
    facts = {"a": {"prompt": "a", "metadata": {"worth": 1.0}}}
    with pytest.raises(MissingInputError, match="no metadata is given for the prompt 'b'"):
        briefed(needy, facts)(images=images, prompts=["a", "b", "a", "a"])
    with pytest.raises(MissingInputError, match="for the prompt 'b', and others have one; give prompts as a table"):
        briefed(spy, facts, ["a", "b"])
    (tmp_path / "t.jsonl").write_text('{"prompt": "a", "target": "x"}\n{"prompt": "a", "target": "y"}')
    with pytest.raises(TableError, match="'a' stands twice in the prompt tables, with target 'x' and 'y'"):
        facts_of(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text('{"prompt": "a", "id": 1, "include": [1]}\n{"prompt": "a", "id": 2, "include": [2]}')
    with pytest.raises(TableError, match=r"'a' stands twice in the prompt tables, with include \[1\] and \[2\]"):
        facts_of(tmp_path / "t.jsonl")
    (tmp_path / "t.csv").write_text("prompt,metadata\na,{half\n")
    with pytest.raises(TableError, match="column 'metadata' holds no JSON"):
        facts_of(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("prompt,metadata\na,3\n")
    with pytest.raises(TableError, match="holds 3, which is no record"):
        facts_of(tmp_path / "t.csv")


def test_kept_facts_are_a_table_again(tmp_path):
    more = {"image": {"bytes": b"png", "path": "x.png"}}  # a column of pictures, as Hugging Face has them
    facts = facts_of(table(tmp_path / "prompts.parquet", [{**row, **more} for row in ROWS]))
    save_facts(tmp_path / "store" / "prompts.jsonl", facts)
    more = {"a hen": {"prompt": "a hen", "target": "HEN"}}
    save_facts(tmp_path / "store" / "prompts.jsonl", more)
    assert facts_of(tmp_path / "store" / "prompts.jsonl") == facts | more
    with pytest.raises(TableError, match="with target 'HEN' and 'COCK'"):
        save_facts(tmp_path / "store" / "prompts.jsonl", {"a hen": {"prompt": "a hen", "target": "COCK"}})
    save_facts(tmp_path / "nothing" / "prompts.jsonl", {})
    assert not (tmp_path / "nothing").exists()
