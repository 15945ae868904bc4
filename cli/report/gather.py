"""A run folder → what it holds, as plain data. Nothing is computed anew; what is missing is left out, and so are passwords."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from reward_zoo.registry import card_of
from reward_zoo.rewards import BUILTIN
from surrogate.errors import RunFolderError
from surrogate.runs.environment import without_passwords
from surrogate.runs.state import read_state

SHEET = re.compile(r"step-(\d+)\.png")


@dataclass(frozen=True)
class Run:
    """One run folder, read.

    `records` are the lines of metrics.jsonl, one a phase and step, the newest where a step was done twice; `pairs` the rows
    of samples/compared.jsonl; `sheets` the grids of validation pictures by step; `fidelity` and `drift` what is known of the
    surrogate, wherever it lies.
    """

    path: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    sheets: list[tuple[int, Path]] = field(default_factory=list)
    surrogate: Path | None = None
    fidelity: dict[str, Any] = field(default_factory=dict)
    drift: dict[str, Any] = field(default_factory=dict)

    @property
    def reward(self) -> str:
        """Its spec."""
        said = self.summary.get("reward_name") or self.config.get("reward") or self.summary.get("reward") or "a reward"
        return "+".join(said) if isinstance(said, list) else str(said)

    @property
    def generator(self) -> str:
        """What was tuned, or whose samples were labelled."""
        return str(self.config.get("generator") or self.fidelity.get("generator") or "a generator")

    @property
    def method(self) -> str:
        """How it was tuned; nothing where it was not."""
        tuning = self.config.get("finetune", self.config)
        return str(self.summary.get("method") or tuning.get("method") or "")

    @property
    def tuned(self) -> bool:
        """Whether it ended with a comparison of before and after."""
        return "verdict" in self.summary

    @property
    def reward_summary(self) -> str:
        """What the reward is, in a line, where it is one of the zoo's."""
        name = self.reward.split(":")[0]
        return card_of(name).summary if name in BUILTIN else ""

    @property
    def reads(self) -> bool:
        """Whether what the reward perceives is text on the picture."""
        name = self.reward.split(":")[0]
        return name in BUILTIN and "text" in card_of(name).perceives

    def phase(self, name: str) -> list[dict[str, Any]]:
        """The records of `distill` or `finetune`."""
        return [record for record in self.records if record.get("phase") == name]


def gather(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, or a file of it is damaged.
    """
    if not any((folder / name).is_file() for name in ("config.yaml", "summary.json", "metrics.jsonl")):
        raise RunFolderError(f"{folder}: not a run folder; give one that lasro distill, finetune or quickstart wrote")
    config = _read(folder / "config.yaml", yaml.safe_load) or {}
    surrogate = _surrogate(folder, config)
    return Run(
        path=folder,
        name=folder.resolve().name,
        config=config,
        summary=_read(folder / "summary.json", json.loads) or {},
        environment=_read(folder / "environment.json", json.loads) or {},
        state=read_state(folder),
        records=_once(_lines(folder / "metrics.jsonl")),
        pairs=_lines(folder / "samples" / "compared.jsonl"),
        sheets=sorted(
            (int(found.group(1)), path) for path in folder.glob("samples/step-*.png") if (found := SHEET.fullmatch(path.name))
        ),
        surrogate=surrogate,
        fidelity=_fidelity(surrogate),
        drift=(_read(surrogate / "drift.json", json.loads) or {}) if surrogate else {},
    )


def gather_all(folders: Sequence[Path]) -> list[Run]:
    """Several; those of one name are told apart by their paths.

    Raises:
        RunFolderError: see `gather`.
    """
    runs = [gather(folder) for folder in folders]
    names = [run.name for run in runs]
    return [replace(run, name=str(run.path)) if names.count(run.name) > 1 else run for run in runs]


def _surrogate(folder: Path, config: dict[str, Any]) -> Path | None:
    """Its folder: the run's own, or the one it was given."""
    given = [folder / "surrogate", *([Path(str(config["surrogate"]))] if config.get("surrogate") else [])]
    return next((path for path in given if (path / "fidelity.json").is_file()), None)


def _fidelity(surrogate: Path | None) -> dict[str, Any]:
    """What is known of it, with the generator of its config."""
    if surrogate is None:
        return {}
    config = _read(surrogate / "config.json", json.loads) or {}
    named = {name: config[name] for name in ("generator", "reward") if name in config}
    return {**named, **(_read(surrogate / "fidelity.json", json.loads) or {})}


def _read(path: Path, parse: Callable[[str], Any]) -> Any:  # noqa: ANN401 - JSON or YAML data
    try:
        return parse(without_passwords(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise RunFolderError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def _lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a last one that a running or killed job has not finished is left out."""
    text = _read(path, str) or ""
    whole = text[: text.rfind("\n") + 1].splitlines()
    try:
        return [json.loads(line) for line in whole if line.strip()]
    except ValueError as error:
        raise RunFolderError(f"{path}: cannot be read ({error})") from error


def _once(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each phase's steps in order, the newest record of a step that was done twice."""
    newest = {(record.get("phase", ""), record.get("step", 0)): record for record in records}
    phases = {phase: number for number, phase in enumerate(dict.fromkeys(phase for phase, _ in newest))}
    return [newest[key] for key in sorted(newest, key=lambda key: (phases[key[0]], key[1]))]
