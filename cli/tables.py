"""Tables people take away: CSV, JSONL and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.failures import RunFolderError


def check_writable(path: Path) -> None:
    """Refuse an --out that could not be written, before the work.

    Raises:
        RunFolderError: another ending than a table's, an existing file, or no such folder.
    """
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise RunFolderError(f"--out {path}: write .csv, .jsonl or .parquet")
    if path.exists():
        raise RunFolderError(f"--out {path}: exists; give another name or remove it")
    if not path.parent.is_dir():
        raise RunFolderError(f"--out {path}: the folder {path.parent} does not exist")


def write_table(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write records whole or not at all; nested values become JSON text in .csv and .parquet."""
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix.lower() == ".jsonl":
        temporary.write_text("".join(json.dumps(_finite(record), ensure_ascii=False) + "\n" for record in records))
    else:
        flat = [{key: _flat(value) for key, value in _finite(record).items()} for record in records]
        (_write_csv if path.suffix.lower() == ".csv" else _write_parquet)(temporary, flat)
    temporary.replace(path)


def _write_csv(path: Path, records: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def _write_parquet(path: Path, records: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(records)), path)


def _flat(value: Any) -> Any:  # noqa: ANN401 - any JSON data
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """NaN is written as nothing."""
    parts = {key: _finite(value) if isinstance(value, dict) else value for key, value in record.items()}
    return {key: None if isinstance(value, float) and value != value else value for key, value in parts.items()}
