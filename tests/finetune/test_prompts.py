"""Prompts come from sets, text files and tables, each once and in order."""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune.errors import PromptError
from finetune.prompts import load_prompts
from reward_zoo.errors import TableError

ROWS = [{"id": 1, "prompt": "a cat"}, {"id": 2, "prompt": 'a dog, "REX"'}, {"id": 3, "prompt": "a cat"}]


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_prompts(tmp_path, kind):
    path = tmp_path / f"prompts.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    texts = {
        "txt": 'a cat\n\n  a dog, "REX"\na cat\n',
        "csv": 'id,prompt\n1,a cat\n2,"a dog, ""REX"""\n3,a cat\n',
        "jsonl": "\n".join(map(json.dumps, ROWS)),
        "json": json.dumps(ROWS),
    }
    if kind in texts:
        path.write_text(texts[kind])
    assert load_prompts(str(path)) == ["a cat", 'a dog, "REX"']


def test_a_table_without_prompts_is_named(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("id,promt\n1,a cat\n")
    with pytest.raises(TableError, match=r"no column 'prompt' or 'caption' or 'text'; did you mean 'promt'"):
        load_prompts(str(path))
    path.write_text("id,prompt\n1,\n")
    with pytest.raises(TableError, match="row 1 has no 'prompt'"):
        load_prompts(str(path))
    with pytest.raises(PromptError, match="no such prompt set or file"):
        load_prompts("nothing.csv")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A data set on disk under a hub id, read by the real library."""
    import datasets

    folder, load = tmp_path / "data", datasets.load_dataset
    folder.mkdir()
    rows = {"train": ROWS, "test": [{"caption": "a bird"}], "odd": [{"label": "x"}], "void": [{"text": " "}]}
    for split, lines in rows.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def fetch(name, split, **settings):
        if name != "owner/signs":
            raise FileNotFoundError(f"{name} is not on the hub")
        return load("json", data_files={split: str(folder / f"{split}.jsonl")}, split=split, **settings)

    monkeypatch.setattr(datasets, "load_dataset", fetch)


def test_a_dataset_of_the_hub_gives_its_prompts(hub):
    assert load_prompts("owner/signs") == ["a cat", 'a dog, "REX"']
    assert load_prompts("owner/signs:test") == ["a bird"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("owner/nothing", "no such file, and no Hugging Face dataset that can be read"),
        ("owner/signs:odd", "no column prompt or caption or text; it has label"),
        ("owner/signs:void", "holds no prompt"),
        ("owner/prompts.txt", "no such prompt set or file"),
    ],
)
def test_a_dataset_without_prompts_is_named(hub, name, why):
    with pytest.raises(PromptError, match=why):
        load_prompts(name)


def test_a_dataset_needs_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PromptError, match="pip install datasets"):
        load_prompts("owner/signs")
