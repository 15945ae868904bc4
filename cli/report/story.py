"""What a run's numbers say, in words and in rows: the headline, the verdict, the facts, the measures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cli.report.gather import Run
from reward_zoo.terminal import duration
from surrogate.config import SAFE_ACCURACY

LIVE = ("running", "paused")


@dataclass(frozen=True)
class Measure:
    """One number before and after, with the interval of its change; `low` to `high` is the scale it is drawn on."""

    name: str
    note: str
    before: float
    after: float
    ci95: tuple[float, float]
    low: float
    high: float

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def trend(self) -> str:
        """up, down, or flat where the interval reaches zero."""
        return "up" if self.ci95[0] > 0 else "down" if self.ci95[1] < 0 else "flat"


@dataclass(frozen=True)
class Verdict:
    """In words; `kind` (good, warn, bad, none) is its colour, never its only sign."""

    kind: str
    title: str
    points: tuple[str, ...] = ()


def headline(run: Run) -> str:
    """One line that says how it went."""
    if run.tuned:
        reward = run.summary["reward"]
        verb = "rose" if run.summary["verdict"]["gained"] else "did not rise"
        return f"{run.reward} {verb}: {number(reward['before'])} → {number(reward['after'])}"
    if "pairwise" in run.summary and run.state["state"] not in LIVE:
        return f"A surrogate of {run.reward}: {run.summary['pairwise']['accuracy']:.0%} of held-out pairs in the right order"
    return f"{run.reward} on {run.generator}"


def progress(run: Run) -> str:
    """How far a run is, in words."""
    state = run.state
    doing = {
        "label": "labelling",
        "distill": "distilling",
        "drift": "tuning between rounds",
        "tune": "tuning",
        "compare": "comparing before and after",
    }
    phase = doing.get(state.get("phase", ""), "starting")
    if state.get("total", 0) > 1:
        unit = "samples" if state["phase"] == "label" else "steps"
        return f"{phase}, {state['done']:,} of {state['total']:,} {unit}"
    return phase


def verdict(run: Run) -> Verdict:
    """Of a tuned run: did it gain, and may it have cheated? Of others: what they are good for."""
    if not run.tuned:
        return _unfinished(run)
    found = run.summary["verdict"]
    said = (*found["reasons"], *found.get("warnings", ()))
    stopped = (f"stopped early: {run.summary['stopped']}",) if run.summary.get("stopped") else ()
    if not found["gained"]:
        return Verdict("none", "No gain", ("the 95 % interval of the reward's change reaches zero", *said, *stopped))
    if found["cheats"]:
        return Verdict("bad", "The reward rose, but it may have been cheated", (*said, *stopped))
    points = ("no guard fell beyond its noise", *said, *stopped)
    if said or stopped:
        return Verdict("warn", "The reward rose, with a warning", points)
    return Verdict("good", "The reward rose, with no sign of cheating", points)


def _unfinished(run: Run) -> Verdict:
    state = run.state["state"]
    if state in LIVE:
        return Verdict("none", "Still running", ("before and after are compared at the end",))
    if state == "dead":
        return Verdict("bad", "Not finished", ("it gives no sign of life; --resume goes on with it",))
    if state in ("ended", "failed"):
        return Verdict("bad" if state == "failed" else "none", "Not finished", ("--resume goes on with it",))
    if run.fidelity.get("pairwise"):
        return trust(run.fidelity)
    return Verdict("none", "Nothing compared yet")


def trust(fidelity: dict[str, Any]) -> Verdict:
    """How far a surrogate can be trusted: what `lasro evaluate` said, else its order of held-out pairs."""
    pairwise = fidelity["pairwise"]
    accuracy = pairwise["accuracy"]
    order = f"orders {accuracy:.1%} of held-out pairs rightly"
    if pairwise.get("ceiling"):
        order += f"; the reward agrees with itself on {pairwise['ceiling']:.1%}"
    if fidelity.get("verdict"):
        safe = fidelity["verdict"].startswith("safe")
        return Verdict(
            "good" if safe else "bad", fidelity["verdict"].partition(":")[0].capitalize(), (fidelity["verdict"], order)
        )
    untried = "its gradient has not been tried: lasro evaluate does"
    if not accuracy >= SAFE_ACCURACY:
        return Verdict("bad", "Do not climb it", (f"pairwise accuracy {accuracy:.3f} is below {SAFE_ACCURACY}", order, untried))
    return Verdict("good", "Good enough to climb while the true reward watches", (order, untried))


def measures(run: Run) -> list[Measure]:
    """The rows of before and after: the reward first, then what was only watched."""
    found = run.summary
    if not run.tuned:
        return []
    parts = [(run.reward, "last step" if "reward_one_step" in found else "", found["reward"])]
    parts += [(run.reward, "first step", found["reward_one_step"])] if "reward_one_step" in found else []
    parts += [("exact match", "share of pictures", found["exact"])] if "exact" in found else []
    parts += [(guard["name"], "guard, never trained on", guard) for guard in found["guards"]]
    parts += [("diversity", "distance within a prompt", found["diversity"])] if "diversity" in found else []
    return [Measure(name, note, **_scaled(part)) for name, note, part in parts]


def _scaled(part: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a part with a scale to draw them on: 0 to 1 where all lie there, else a little beyond them."""
    before, after, (low, high) = part["before"], part["after"], part["ci95"]
    least, most = min(before, after), max(before, after)
    if least < 0 or most > 1:
        least, most = min(least, before + low), max(most, before + high)
        room = 0.15 * (most - least) or 1.0
        least, most = least - room, most + room
    else:
        least, most = 0.0, 1.0
    return {"before": before, "after": after, "ci95": (low, high), "low": least, "high": most}


def facts(run: Run) -> list[tuple[str, str, str]]:
    """(name, value, more) of what a reader asks first."""
    found = run.summary
    rows = [("Reward", run.reward, run.reward_summary), ("Generator", run.generator, _method(run))]
    calls = found.get("calls", {})
    if "reward_calls" in found:
        parts = [f"{calls[name]:,} {name}" for name in ("labels", "training", "validation") if name in calls]
        beyond = calls.get("evaluation") or found.get("measuring_calls")
        more = " · ".join(parts) + (f"; {beyond:,} more to measure" if beyond else "")
        rows.append(("Reward calls", f"{found['reward_calls']:,}", more.removeprefix("; ")))
    if run.tuned:
        count = found["reward"]["samples"]
        rows.append(("Compared on", f"{count:,} held-out prompts", "the same prompts and seeds before and after"))
    elif "held_out" in found:
        rows.append(("Labels", f"{found['labels']:,}", f"{found['held_out']:,} of them held out to measure it"))
    if not run.tuned:
        rows += _so_far(run)
    if "minutes" in found:
        rows.append(("Time", duration(60 * found["minutes"]), run.environment.get("device", "")))
    if "best_step" in found:
        last = run.phase("finetune")[-1]["step"] if run.phase("finetune") else None
        rows.append(("Best checkpoint", f"step {found['best_step']}", f"of {last}, by validation reward" if last else ""))
    return rows


def _so_far(run: Run) -> list[tuple[str, str, str]]:
    """Of a run that is being tuned, or was and did not end."""
    validations = [record for record in run.phase("finetune") if "validation_reward" in record]
    if not validations:
        return []
    best = max(validations, key=lambda record: record["validation_reward"])
    change = f"{number(validations[0]['validation_reward'])} → {number(best['validation_reward'])}"
    last = run.phase("finetune")[-1]
    calls = last.get("reward_calls", 0) + last.get("validation_calls", 0)
    return [
        ("True reward so far", change, f"on validation prompts; best at step {best['step']}"),
        ("Calls of tuning so far", f"{calls:,}", f"step {last['step']} of {last['steps']}"),
    ]


def _method(run: Run) -> str:
    return f"tuned by {run.method}" if run.method else ""


def number(value: float) -> str:
    """Three decimals, or as many figures as a large number needs."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def accuracies(run: Run) -> list[dict[str, Any]]:
    """Rows of (name, note, value, interval): where the surrogate was asked, and how often it was right."""
    found, pairwise = run.fidelity, run.fidelity["pairwise"]
    rows = [("held-out prompts", "", pairwise["accuracy"], pairwise.get("ci95"))]
    names = {"z1": "after one step", "z2": "after two steps"}
    stages = found.get("accuracy_by_stage", {}).items()
    rows += [(names.get(stage, f"after {stage[1:]} steps"), stage, value, None) for stage, value in stages]
    noise = found.get("accuracy_by_noise", {}).items()
    rows += [(f"through noise of level {time}", "", value, None) for time, value in noise if time != "0"]
    if run.drift.get("pairwise"):
        drifted = run.drift["pairwise"]
        rows.append(("samples of the tuned generator", "drifted", drifted["accuracy"], drifted.get("ci95")))
    fresh = [record["fresh_accuracy"] for record in run.phase("finetune") if record.get("fresh_accuracy") is not None]
    if fresh and fresh[-1] == fresh[-1]:
        rows.append(("fresh samples at the end of tuning", "running mean", fresh[-1], None))
    if pairwise.get("ceiling"):
        rows.append(("the reward against itself", "pictures shifted by a pixel: the ceiling", pairwise["ceiling"], None))
    return [{"name": name, "note": note, "value": value, "ci95": ci95} for name, note, value, ci95 in rows if value == value]


def fares(run: Run) -> dict[str, str]:
    """What a watcher reads of a run: `text`, and the command that goes on with it (`resume`) where it can."""
    state, command = run.state, run.environment.get("command", "")
    again = command if "--resume" in command.split() else f"{command} --resume" if command else ""
    if state["state"] == "running":
        return {"text": progress(run) + _left(state), "resume": ""}
    if state["state"] == "paused":
        return {"text": f"while {progress(run)}", "resume": ""}
    if state["state"] == "dead":
        text = f"for {duration(state['silent'])}: it was killed, or its machine is asleep. --resume goes on with it."
        return {"text": text, "resume": again}
    if state["state"] == "failed":
        return {"text": f"{state.get('error', '')}. --resume goes on with it.", "resume": again}
    if state["state"] == "ended":
        return {"text": f"while {progress(run)}. --resume goes on with it.", "resume": again}
    return {"text": "", "resume": ""}


def _left(state: dict[str, Any]) -> str:
    """About how long this phase still takes, once it has shown its pace."""
    done, past = state.get("done", 0) - state.get("first", 0), time.time() - state.get("since", time.time())
    if done < 2 or past < 2 or state["total"] <= state["done"]:
        return ""
    return f", about {duration(past / done * (state['total'] - state['done']))} left"
