"""`lasro rewards list | info` and `lasro doctor`: what there is, and what it needs."""

from __future__ import annotations

from dataclasses import asdict

import reward_zoo
from cli.output import print_json, print_table
from reward_zoo.errors import SpecError
from reward_zoo.loading import environment_of
from reward_zoo.readiness import readiness
from reward_zoo.registry import card_of
from reward_zoo.terminal import note


def list_command(*, filters: dict[str, bool], license_kind: str | None, as_json: bool) -> None:
    """Print the cards that pass every filter that is on."""
    if license_kind not in (None, "permissive"):
        raise SpecError(f"--license {license_kind}: is not known; the one filter is permissive")
    kept = {
        "differentiable": lambda card: card.differentiable,
        "offline": lambda card: card.offline,
        "needs_prompt": lambda card: bool({"prompt", "target"} & set(card.needs)),
        "ready": lambda card: readiness(card).state == "ready",
        "permissive": lambda card: card.permissive,
    }
    active = [kept[name] for name, on in {**filters, "permissive": license_kind == "permissive"}.items() if on]
    cards = [card for card in reward_zoo.list_rewards() if all(keep(card) for keep in active)]
    if as_json:
        print_json([card.as_dict() for card in cards])
        return
    needs = [", ".join([*card.needs, *(["own environment"] if card.isolated else [])]) or "-" for card in cards]
    gradient = ["yes" if card.differentiable else "no" for card in cards]
    rows = [(card.name, *facts, card.summary) for card, *facts in zip(cards, gradient, needs, strict=True)]
    print_table(("name", "gradient", "needs", "what it rewards"), rows)


def doctor_command(*, as_json: bool) -> None:
    """Print what each reward still lacks on this machine."""
    found = [readiness(card) for card in reward_zoo.list_rewards()]
    if as_json:
        print_json([asdict(item) for item in found])
        return
    rows = []
    for item in found:
        first, *more = item.remedies or ("",)
        rows += [(item.name, item.state, first), *(("", "", remedy) for remedy in more)]
    print_table(("reward", "state", "what to do"), rows)
    note(f"{sum(item.state == 'ready' for item in found)} of {len(found)} rewards are ready on this machine")


def prepare_command(specs: list[str], *, as_json: bool) -> None:
    """Build the environments that rewards run in, and print where they are."""
    rows = []
    for spec in specs:
        environment = environment_of(spec)
        environment.build(spec)
        rows.append({"reward": spec, "environment": str(environment.folder) if environment.separate else None})
    if as_json:
        print_json(rows)
        return
    print_table(("reward", "environment"), [(row["reward"], row["environment"] or "this one") for row in rows])


def info_command(name: str, *, as_json: bool) -> None:
    """Print one card."""
    card = card_of(name).as_dict()
    if as_json:
        print_json(card)
        return
    print_table(("field", "value"), [(key, value) for key, value in card.items() if value not in ("", (), [], None)])
