"""Where tables may be written."""

from __future__ import annotations

from pathlib import Path

from surrogate.errors import RunFolderError


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
