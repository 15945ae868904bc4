"""GenEval's clause logic: does a picture's list of detected objects satisfy what its prompt asks for?

After GenEval (Ghosh et al., 2023) and the dense form of flow_grpo's reward server, with one repair: there a failed position
counts 0 and then 1; here it counts 0. A record looks like

    {"include": [{"class": "dog", "count": 1, "color": "red", "position": ["left of", 1]}, {"class": "car", "count": 1}],
     "exclude": [{"class": "cat", "count": 1}]}

where a position names the relation to the objects of another include clause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

POSITION_THRESHOLD = 0.1  # how far, in sizes of both boxes, centres must be apart before a direction counts


@dataclass(frozen=True)
class Detection:
    """One object: its class, confidence in [0, 1], box (left, top, right, bottom) in pixels and colour."""

    label: str
    score: float
    box: tuple[float, float, float, float]
    color: str = ""


def strict_score(record: dict[str, Any], found: Sequence[Detection]) -> float:
    """1 if every clause holds (counts exactly), else 0."""
    groups = [_of_class(found, clause["class"]) for clause in record.get("include", ())]
    for clause, group in zip(record.get("include", ()), groups, strict=True):
        if len(group) != clause.get("count", 1):
            return 0.0
        if "color" in clause and any(item.color != clause["color"] for item in group):
            return 0.0
        if clause.get("position") and not _holds(clause["position"], group, groups):
            return 0.0
    crowded = any(len(_of_class(found, clause["class"])) >= clause.get("count", 1) for clause in record.get("exclude", ()))
    return float(not crowded)


def dense_score(record: dict[str, Any], found: Sequence[Detection]) -> float:
    """Mean over all include clauses of how nearly each part holds; `exclude` plays no part, as in the reference.

    Parts: 1 − |count − found| / count; with a colour, the same for the objects of that colour; with a position, 1 or 0. Where
    the count is wrong, a clause with a colour or position gets one 0 for them.
    """
    clauses = record.get("include", ())
    groups = [_of_class(found, clause["class"]) for clause in clauses]
    parts: list[float] = []
    for clause, group in zip(clauses, groups, strict=True):
        count = clause.get("count", 1)
        parts.append(1 - abs(count - len(group)) / count)
        if len(group) != count:
            parts += [0.0] if "color" in clause or clause.get("position") else []
            continue
        if "color" in clause:
            parts.append(1 - abs(count - sum(item.color == clause["color"] for item in group)) / count)
        if clause.get("position"):
            parts.append(float(_holds(clause["position"], group, groups)))
    return sum(parts) / len(parts) if parts else 1.0


def relations(first: Detection, second: Detection) -> set[str]:
    """Where `first` stands seen from `second`: of "left of", "right of", "above", "below"."""
    offsets, slack = [], []
    for axis in (0, 1):
        near, far = (item.box[axis] for item in (first, second)), (item.box[axis + 2] for item in (first, second))
        (low1, low2), (high1, high2) = near, far
        offsets.append((low1 + high1 - low2 - high2) / 2)
        slack.append(POSITION_THRESHOLD * (high1 - low1 + high2 - low2))
    length = (offsets[0] ** 2 + offsets[1] ** 2) ** 0.5
    if length == 0:
        return set()
    across, down = (
        max(abs(offset) - room, 0) / length * (1 if offset > 0 else -1) for offset, room in zip(offsets, slack, strict=True)
    )
    named = {"left of": across < -0.5, "right of": across > 0.5, "above": down < -0.5, "below": down > 0.5}
    return {name for name, holds in named.items() if holds}


def _of_class(found: Sequence[Detection], label: str) -> list[Detection]:
    return [item for item in found if item.label == label]


def _holds(position: Sequence[Any], group: Sequence[Detection], groups: Sequence[Sequence[Detection]]) -> bool:
    relation, other = position
    targets = groups[other]
    return bool(targets) and all(relation in relations(item, target) for item in group for target in targets)
