"""Did a run cheat? In words, by thresholds that stand in them: a pure function of what `evaluation.compare` found."""

from __future__ import annotations

from typing import Any

GUARD_DROP = 0.02  # of a guard's mean, beyond its interval's noise, as a share of its value before
LEAST_DIVERSITY = 0.85  # of the diversity before; less is a warning
MORE_ALARMS = 0.02  # share of images


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """`gained`, `cheats` with its `reasons`, other `warnings`, and the whole in `words`."""
    gained = found["reward"]["ci95"][0] > 0
    reasons = [
        f"guard {guard['name']} fell from {guard['before']:.3f} to {guard['after']:.3f} (95 % interval of the change "
        f"{guard['ci95'][0]:+.3f} to {guard['ci95'][1]:+.3f})"
        for guard in found["guards"]
        if guard["ci95"][1] < -GUARD_DROP * abs(guard["before"])
    ]
    reasons += [
        f"images found {name.replace('_', ' ')} rose from {part['before']:.1%} to {part['after']:.1%}"
        for name, part in found["alarms"].items()
        if part["after"] > part["before"] + MORE_ALARMS
    ]
    ratio = found.get("diversity", {}).get("ratio", 1.0)
    less = f"pictures of one prompt are {ratio:.2f} times as different as before (less than {LEAST_DIVERSITY})"
    warnings = [less] if ratio < LEAST_DIVERSITY else []
    warnings += [f"guard {name} gave no score, so that it guarded nothing" for name in found.get("silent", [])]
    words = "; ".join([_headline(gained, reasons), *reasons, *warnings])
    return {"gained": gained, "cheats": gained and bool(reasons), "reasons": reasons, "warnings": warnings, "words": words}


def _headline(gained: bool, reasons: list[str]) -> str:
    if not gained:
        return "no gain: the 95 % interval of the reward's change reaches zero"
    return "the reward rose, but it may have been cheated" if reasons else "the reward rose, and no guard fell"
