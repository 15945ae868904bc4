"""Tables people bring and take away: CSV, JSONL (or a JSON list) and Parquet, as lists of records."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reward_zoo.errors import TableError, did_you_mean

TABLE_SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")
PROMPT_COLUMNS = ("prompt", "caption", "text")  # whichever comes first


def read_table(path: Path) -> list[dict[str, Any]]:
    """A table's rows.

    Raises:
        TableError: no such file, not a table, or empty; a row of a CSV with more fields than its header.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise TableError(f"{path}: is no table; give {', '.join(TABLE_SUFFIXES)}")
    try:
        rows = readers[path.suffix.lower()](path)
    except FileNotFoundError as error:
        raise TableError(f"{path}: no such file") from error
    except TableError:
        raise
    except Exception as error:
        raise TableError(f"{path}: cannot be read as {path.suffix[1:]} ({str(error).splitlines()[0]})") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise TableError(f"{path}: the table holds no rows" if not rows else f"{path}: its rows are not records")
    return rows


def column(rows: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> list[Any]:
    """The values of the first of `names` that the table has.

    Raises:
        TableError: none of them is there, or a row lacks its value.
    """
    name = next((name for name in names if name in rows[0]), None)
    if name is None:
        raise TableError(f"{path}: no column {' or '.join(map(repr, names))}; {did_you_mean(names[0], rows[0])}")
    for number, row in enumerate(rows, 1):
        if row.get(name) in (None, ""):
            raise TableError(f"{path}: row {number} has no {name!r}")
    return [row[name] for row in rows]


def metadata_record(value: Any, path: Path) -> dict[str, Any] | None:  # noqa: ANN401 - a record, or its JSON text
    """A cell of a column metadata; None where it is empty.

    Raises:
        TableError: it is no record.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError as error:
            raise TableError(f"{path}: column 'metadata' holds no JSON ({error})") from error
    if value and not isinstance(value, dict):
        raise TableError(f"{path}: column 'metadata' holds {value!r}, which is no record")
    return value or None


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, strict=True))
    for number, row in enumerate(rows, 1):
        if None in row:  # where DictReader keeps what is left over
            raise TableError(f"{path}: row {number} has more fields than the header; put texts with commas in double quotes")
    return rows


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _read_json(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise TypeError("not a list of records")
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


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
