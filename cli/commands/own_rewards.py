"""`lasro rewards check | new`: rewards of people's own."""

from __future__ import annotations

import keyword
from dataclasses import asdict
from pathlib import Path

import reward_zoo
from cli.output import print_json, print_table
from reward_zoo.contract import check
from reward_zoo.errors import SpecError
from reward_zoo.terminal import note
from surrogate.errors import RunFolderError

KEPT, BROKEN = 0, 1  # exit codes

STARTER = '''"""{name}: rewards of your own for lasro.

    lasro rewards check {file}:{name}
    lasro rewards score picture.png --reward {file}:{name}
    lasro distill --reward {file}:{name}
"""

from reward_zoo import Reward, RewardCard


def {name}(images):
    """How dark the left half is."""  # the first line is the summary that lasro shows
    # images: float32 tensor B x 3 x H x W, RGB, in [0, 1].
    # Ask for prompts, targets, metadata or references by naming them as arguments.
    # Return one number an image, higher is better; NaN for an image that cannot be judged.
    left = images[..., : images.shape[-1] // 2]
    return 1 - left.mean((1, 2, 3))


class {kind}(Reward):
    """The same as a class: for weights to load, a card, a gradient, options of its __init__ (`{file}:{kind}:name=value`)."""

    card = RewardCard(
        name="{name}",
        summary="how dark the left half is",
        range=(0.0, 1.0),  # smallest and largest possible score
        typical=(0.5, 0.2),  # mean and spread on ordinary images; composites use them
        source="this file",
        license="your own",
        differentiable=True,  # then gradients must reach the pixels; lasro rewards check measures it
        needs=(),  # of "prompt", "target", "metadata", "reference"
    )

    def score(self, inputs):
        """inputs.images, .prompts, .targets, .metadata, .references -> one number an image."""
        return {name}(inputs.images)
'''


def check_command(spec: str, *, as_json: bool) -> int:
    """Print which promises a reward keeps; exit code 1 if it breaks one."""
    found = check(reward_zoo.load(spec))
    broken = [part for part in found if not part.kept]
    if as_json:
        print_json([asdict(part) for part in found])
    else:
        print_table(("promise", "kept", ""), [(part.promise, "yes" if part.kept else "NO", part.reason) for part in found])
        note(f"{spec} keeps {len(found) - len(broken)} of {len(found)} promises")
    return BROKEN if broken else KEPT


def new_command(name: str, *, out: Path | None) -> None:
    """Write a commented starter file that passes the check as it is.

    Raises:
        SpecError: the name is no Python name.
        RunFolderError: the file exists, or its folder does not.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise SpecError(f"reward name {name!r}: must be a Python name, such as left_dark")
    path = out or Path(f"{name}.py")
    if path.suffix != ".py":
        raise RunFolderError(f"--out {path}: must end in .py")
    if path.exists():
        raise RunFolderError(f"--out {path}: exists; give another name")
    if not path.parent.is_dir():
        raise RunFolderError(f"--out {path}: the folder {path.parent} does not exist")
    kind = "".join(part.capitalize() for part in name.split("_"))
    path.write_text(STARTER.format(name=name, kind=kind if kind != name else f"{kind}Reward", file=path))
    note(f"wrote {path}; next: lasro rewards check {path}:{name}")
