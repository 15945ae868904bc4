"""What must be on a machine before something runs there: repositories of the hub, which of their files, and how many bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reward_zoo.card import RewardCard, Weights
from reward_zoo.composite import AGGREGATIONS
from reward_zoo.errors import SpecError
from reward_zoo.registry import card_of, find_factory
from reward_zoo.spec import IsolatedSpec, NamedSpec, parse_composite, parse_spec
from reward_zoo.weights import is_local

TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")  # configurations and tokenizers: small, and seldom all known by name
SHARDS = "model*.safetensors"


@dataclass(frozen=True)
class Need:
    """Files of one hub repository, or one file at an https address."""

    source: str  # hub id or https address
    file: str  # where it is, the rest is taken to be
    patterns: tuple[str, ...]  # all that is fetched
    bytes: int | None  # None: not known without the network
    asked_by: str

    @property
    def here(self) -> bool:
        """Whether it is on this machine; asks no network."""
        return is_local(self.source, self.file)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {"source": self.source, "file": self.file, "bytes": self.bytes, "here": self.here, "asked_by": self.asked_by}


def needs_of(spec: str) -> list[Need]:
    """What a reward's weights are, by its card; nothing is loaded.

    Raises:
        UnknownRewardError: no reward of that name.
        SpecError: the text is no spec, or an option names weights that no card tells of.
    """
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        return list(dict.fromkeys(need for _, part in several.members for need in needs_of(part)))
    parsed = parse_spec(spec)
    if isinstance(parsed, IsolatedSpec):
        return needs_of(parsed.spec)
    if not isinstance(parsed, NamedSpec):
        return []  # a function of the user's own, or another machine's affair
    factory = find_factory(parsed.name)
    if getattr(factory, "argument", "") and parsed.name != "surrogate":
        raise SpecError(
            f"{spec}: {parsed.name} fetches each model itself; give weights=FILE, or load it once before going offline"
        )
    if "weights" in parsed.options:
        return []
    card, model = card_of(parsed.name), parsed.options.get("model", "")
    found = [_need(weights, card) for weights in _fetched(card, parsed.options)]
    if model and "/" not in model:
        raise SpecError(
            f"{spec}: no card tells what model={model} loads; give weights=FILE, or load it once before going offline"
        )
    if model and found and model != found[0].source:
        found[0] = replace(found[0], source=model, bytes=None)
    return found


def _fetched(card: RewardCard, options: dict[str, str]) -> list[Weights]:
    """The files that a reward with these options loads, but for those that come in packages."""
    asked = [weights for weights in card.weights if weights.optional in {f"{name}={text}" for name, text in options.items()}]
    replaced = {weights.source for weights in asked}
    always = [weights for weights in card.weights if not weights.optional and weights.source not in replaced]
    return [weights for weights in (*always, *asked) if not weights.in_package]


def _need(weights: Weights, card: RewardCard) -> Need:
    """A card names the largest file; its folder's configuration goes with it, and all pieces of weights in pieces."""
    name = weights.file
    if not weights.on_hub:
        patterns: tuple[str, ...] = ()
    elif name.endswith((".safetensors", ".safetensors.index.json")):
        patterns = (*TEXTS, SHARDS if name.startswith("model") else name)
    else:
        patterns = (*TEXTS, name)
    return Need(weights.source, name, patterns, weights.bytes, card.name)
