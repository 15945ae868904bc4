"""Scores kept on disk, so that the same picture is never judged twice by the same reward.

One SQLite file, `$LASRO_CACHE/scores.sqlite` (default ~/.cache/lasro). A key is a hash of the reward's identity (spec, card
version, the bytes of a user's own code and of what it imports from beside it, size and time of files that the spec names), the
pixels, prompt, target, metadata and reference; failed items are not kept. SQLite's locks make it safe for several processes.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from reward_zoo.calibration import cache_folder
from reward_zoo.composite import Composite
from reward_zoo.errors import CacheError
from reward_zoo.function import FunctionReward
from reward_zoo.isolation.reward import Isolated
from reward_zoo.loading import absolute_spec, load
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores
from reward_zoo.spec import IsolatedSpec, NamedSpec, ObjectSpec, RemoteSpec, parse_spec

LOCK_SECONDS = 60.0  # how long a process waits for another's write
SCHEMA = "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, reward TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID"
LOOKUP = 500  # keys a query


class ScoreCache:
    """The file. Every call opens and closes it, so that threads and forks need no care.

    Raises:
        CacheError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "scores.sqlite"

    def get(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """The records that are there."""
        found = {}
        with self._open() as connection:
            for start in range(0, len(keys), LOOKUP):
                some = keys[start : start + LOOKUP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, record FROM scores WHERE key IN ({marks})", some)  # noqa: S608
                found |= {key: json.loads(record) for key, record in rows}
        return found

    def put(self, reward: str, records: dict[bytes, dict[str, Any]]) -> None:
        """Keep records under their keys, all or none."""
        rows = [(key, reward, json.dumps(record)) for key, record in records.items()]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)

    def info(self) -> dict[str, Any]:
        """Path, size in bytes, number of scores in all and by reward."""
        if not self.path.is_file():
            return {"path": str(self.path), "bytes": 0, "scores": 0, "rewards": {}}
        with self._open() as connection:
            rewards = dict(connection.execute("SELECT reward, COUNT(*) FROM scores GROUP BY reward ORDER BY reward"))
        size = self.path.stat().st_size
        return {"path": str(self.path), "bytes": size, "scores": sum(rewards.values()), "rewards": rewards}

    def clear(self, reward: str | None = None) -> int:
        """Forget the scores of one reward spec, or all (the file goes, even a damaged one); how many there were."""
        if not self.path.is_file():
            return 0
        if reward is not None:
            with self._open() as connection:
                return connection.execute("DELETE FROM scores WHERE reward = ?", (reward,)).rowcount
        try:
            count = self.info()["scores"]
        except CacheError:
            count = 0
        self.path.unlink()
        return count

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=LOCK_SECONDS)) as connection, connection:
                connection.execute(SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f"score cache {self.path}: {error}; set LASRO_CACHE, or run lasro cache clear") from error


def cached(spec: str, cache: ScoreCache | None = None) -> Reward:
    """`load(spec)`, asked only about what the cache does not know. Composites keep the scores of their members.

    Servers are always asked: nobody here knows what stands behind them.
    """
    cache, reward = cache or ScoreCache(), load(spec)
    if isinstance(reward, Composite):
        reward.members = [replace(member, reward=cached(member.spec, cache)) for member in reward.members]
        return reward
    return reward if isinstance(parse_spec(spec), RemoteSpec) else CachedReward(reward, spec, cache)


class CachedReward(Reward):
    """A reward with a memory. Images that want a gradient are always scored afresh."""

    def __init__(self, reward: Reward, spec: str, cache: ScoreCache) -> None:
        self.reward, self.spec, self.cache, self.card = reward, spec, cache, reward.card
        self.identity = identity(reward, spec)

    @property
    def has_hindsight(self) -> bool:
        """The reward's own."""
        return self.reward.has_hindsight

    def hindsight(self, *question: Any, **known: Any) -> tuple[str, float] | None:  # noqa: ANN401 - as Reward.hindsight
        """The reward's own."""
        return self.reward.hindsight(*question, **known)

    def score(self, inputs: RewardInputs) -> Scores:
        """Look up, ask about the rest, remember."""
        if inputs.images.requires_grad:
            return self.reward.score(inputs)
        keys = [self._key(inputs, row) for row in range(len(inputs.images))]
        records = self.cache.get(keys)
        missing = [row for row, key in enumerate(keys) if key not in records]
        if missing:
            fresh = self._ask(inputs, missing)
            asked = {keys[row]: record for row, record in zip(missing, fresh, strict=True)}
            self.cache.put(self.spec, {key: record for key, record in asked.items() if record["score"] == record["score"]})
            records |= asked
        return _scores([records[key] for key in keys], self.card.components)

    def _ask(self, inputs: RewardInputs, rows: list[int]) -> list[dict[str, Any]]:
        given = {name: getattr(inputs, name) for name in ("prompts", "targets", "metadata")}
        given = {name: values and [values[row] for row in rows] for name, values in given.items()}
        references = None if inputs.references is None else inputs.references[rows]
        scores = self.reward(images=inputs.images[rows], references=references, **given)
        parts = {name: values.tolist() for name, values in scores.components.items()}
        return [
            {
                "score": value,
                "components": {name: values[row] for name, values in parts.items()},
                "perceived": scores.perceived[row] if scores.perceived else None,
            }
            for row, value in enumerate(scores.values.tolist())
        ]

    def _key(self, inputs: RewardInputs, row: int) -> bytes:
        said = [values and values[row] for values in (inputs.prompts, inputs.targets, inputs.metadata)]
        pictures = [inputs.images[row]] + ([] if inputs.references is None else [inputs.references[row]])
        digest = hashlib.blake2b(json.dumps([self.identity, said, [list(p.shape) for p in pictures]]).encode(), digest_size=20)
        for picture in pictures:
            digest.update(picture.detach().cpu().contiguous().numpy())
        return digest.digest()


def identity(reward: Reward, spec: str) -> str:
    """Text that changes whenever the reward's scores might."""
    parsed = parse_spec(spec)
    parsed = parse_spec(parsed.spec) if isinstance(parsed, IsolatedSpec) else parsed
    own = _own_code(reward, parsed)
    source = hashlib.blake2b(b"".join(file.read_bytes() for file in own)).hexdigest() if own else ""
    given = [*parsed.options.values(), parsed.argument] if isinstance(parsed, NamedSpec | ObjectSpec) else []
    paths = [Path(text).expanduser() for value in given for text in (value, value.rpartition(":")[0]) if text]
    files = [file for path in paths if path.exists() for file in _files(path)]
    stamps = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    card = reward.card
    return json.dumps([absolute_spec(spec), card.name, card.version, card.requirements, card.python, source, stamps])


def _own_code(reward: Reward, parsed: Any) -> list[Path]:  # noqa: ANN401 - what `parse_spec` gives
    """The file of a reward that is not lasro's, and what it imported from beside it, where this process did."""
    in_file = isinstance(parsed, ObjectSpec) and parsed.where.endswith(".py")
    if isinstance(reward, Isolated):
        return [Path(parsed.where)] if in_file else []
    code = reward.function if isinstance(reward, FunctionReward) else type(reward)
    file = None if (code.__module__ or "").startswith("reward_zoo.") else inspect.getsourcefile(code)
    own = {Path(file).absolute()} if file else set()
    if own and in_file:
        loaded = {Path(getattr(module, "__dict__", {}).get("__file__") or "").absolute() for module in [*sys.modules.values()]}
        own |= {path for path in loaded if path.parent == Path(file).absolute().parent and path.suffix == ".py"}
    return sorted(own)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _scores(records: list[dict[str, Any]], components: tuple[str, ...]) -> Scores:
    import torch

    names = dict.fromkeys([*components, *(name for record in records for name in record["components"])])
    parts = {name: torch.tensor([record["components"].get(name, float("nan")) for record in records]) for name in names}
    perceived = [record["perceived"] or "" for record in records]
    return Scores(
        values=torch.tensor([record["score"] for record in records]),
        components=parts,
        perceived=perceived if any(record["perceived"] is not None for record in records) else None,
    )
