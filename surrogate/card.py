"""A surrogate folder's README.md, filled from the run that made it."""

from __future__ import annotations

from typing import Any


def model_card(config: dict[str, Any], fidelity: dict[str, Any]) -> str:
    """Teacher, labels and what was measured, as a hub's model card."""
    generators = config.get("generators") or [config["generator"]]
    facts = [
        ("teacher (the true reward)", f"`{config['reward']}`"),
        ("its licence", config.get("teacher_license", "unknown")),
        ("generators whose samples it learnt from", ", ".join(f"`{name}`" for name in generators)),
        ("prompts", fidelity.get("prompts")),
        ("labels (reward calls)", fidelity["labels"]),
        ("backbone", f"`{config['backbone']['kind']}`"),
    ]
    return f"""---
library_name: lasro
license: other
license_name: as-its-teacher-and-generator
tags: [reward-model, latent-reward, sdxl]
---
# Latent surrogate of `{config["reward"]}`

Predicts the reward `{config["reward"]}` from latents of `{config["generator"]}`, with a gradient. Made by `lasro distill`.

{_table(("what it was made of", ""), [(name, value) for name, value in facts if value is not None])}

{_table(("measured on prompts never trained on", ""), _measured(fidelity))}

Use: `lasro finetune --surrogate THIS_FOLDER`, or `surrogate:THIS_FOLDER` as a reward.
"""


def _measured(fidelity: dict[str, Any]) -> list[tuple[str, str]]:
    pairwise, gradient = fidelity["pairwise"], fidelity.get("gradient")
    low, high = pairwise["ci95"]
    rows = [
        (
            f"pairwise accuracy within a prompt (scores more than {pairwise['margin']:g} apart)",
            f"{pairwise['accuracy']:.3f}",
        ),
        ("95 % interval", f"{low:.3f} to {high:.3f}"),
        ("the reward's own noise ceiling", f"{pairwise['ceiling']:.3f}"),
        ("Spearman correlation", f"{fidelity['spearman']:.3f}"),
    ]
    if gradient:
        gain = f"{gradient['gain']:+.3f} (random direction {gradient['random_gain']:+.3f})"
        rows.append((f"true reward after one step of RMS {gradient['step']:g} along its gradient", gain))
    if fidelity.get("verdict"):
        rows.append(("verdict", fidelity["verdict"]))
    return rows


def _table(head: tuple[str, str], rows: list[tuple[str, Any]]) -> str:
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
