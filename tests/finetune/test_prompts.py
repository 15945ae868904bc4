"""Prompts come from sets, text files and tables, each once and in order."""

import json

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
