"""What a long command would take, said before it takes it: `--dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.output import print_json, print_table, size_of
from finetune.generators.needs import needs_of_generator
from finetune.generators.preset import Preset, find_preset
from reward_zoo.errors import SpecError
from reward_zoo.needs import Need, needs_of
from reward_zoo.terminal import duration, note


@dataclass
class Plan:
    """Numbers, and beside those that are estimated where they come from; empty where nothing is known, with the reason."""

    command: str
    out: Path
    downloads: list[Need] = field(default_factory=list)
    reward_calls: dict[str, int] = field(default_factory=dict)
    images: int | None = None  # pictures painted and decoded
    seconds: dict[str, float] = field(default_factory=dict)
    memory: int | None = None  # bytes at the peak
    disk: dict[str, int] = field(default_factory=dict)  # bytes
    sources: dict[str, str] = field(default_factory=dict)  # of time, memory, disk and reward calls

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "command": self.command,
            "out": str(self.out),
            "downloads": [need.as_dict() for need in self.downloads],
            "reward_calls": self.reward_calls,
            "images": self.images,
            "seconds": self.seconds,
            "memory_bytes": self.memory,
            "disk_bytes": self.disk,
            "sources": self.sources,
        }

    def explained(self, parts: str, name: str) -> str:
        """What a number is made of, and where it comes from."""
        return "; ".join(filter(None, [parts, self.sources.get(name, "")]))

    @property
    def missing(self) -> list[Need]:
        """What would be fetched."""
        return [need for need in self.downloads if not need.here]


def weights_needed(rewards: Sequence[str], generator: str | None) -> list[Need]:
    """What rewards and a generator load; nothing for those that fetch their weights themselves."""
    found = []
    for spec in rewards:
        try:
            found += needs_of(spec)
        except SpecError:
            continue  # a bridge to a library: only it knows
    if generator is not None and not Path(generator).is_dir():
        found += needs_of_generator(find_preset(generator) or Preset(name=generator, source=generator))
    return list(dict.fromkeys(found))


def show(plan: Plan, *, as_json: bool) -> None:
    """The plan on stdout; nothing has been done."""
    if as_json:
        print_json(plan.as_dict())
        return
    rows = [("download", _line(need), f"{need.source}, for {need.asked_by}") for need in plan.downloads]
    rows = rows or [("download", "nothing", "")]
    calls = " + ".join(f"{count:,} {name}" for name, count in plan.reward_calls.items())
    rows.append(("reward calls", f"{sum(plan.reward_calls.values()):,}", plan.explained(calls, "calls")))
    rows.append(("images", f"{plan.images:,}" if plan.images is not None else "not known", ""))
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in plan.seconds.items())
    total = f"about {duration(sum(plan.seconds.values()))}" if plan.seconds else "not known"
    rows.append(("time", total, plan.explained(parts, "time")))
    rows.append(("memory", f"about {size_of(plan.memory)}" if plan.memory else "not known", plan.explained("", "memory")))
    parts = ", ".join(f"{name} {size_of(count)}" for name, count in plan.disk.items())
    total = f"about {size_of(sum(plan.disk.values()))}" if plan.disk else "not known"
    rows.append(("disk", total, plan.explained(parts, "disk")))
    print_table((f"lasro {plan.command}", str(plan.out), ""), rows)
    note("nothing was written; leave out --dry-run to begin")


def _line(need: Need) -> str:
    return f"{size_of(need.bytes)}, {'here already' if need.here else 'to be fetched'}"
