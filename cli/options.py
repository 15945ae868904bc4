"""Flags that several commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.settings import Config, Set
from reward_zoo.errors import MissingWeightsError
from reward_zoo.weights import FOLDER_VARIABLE


def reward_names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from reward_zoo.rewards import BUILTIN

    return [name for name in sorted(BUILTIN) if name.startswith(incomplete)]


def generator_names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from finetune.generators.preset import presets

    return [name for name in presets() if name.startswith(incomplete)]


def use_weights(path: Path | None) -> Path | None:
    """Callback of `--weights`: look there first, in this process and in those that it starts.

    Raises:
        MissingWeightsError: no such folder.
    """
    if path is not None:
        if not path.is_dir():
            raise MissingWeightsError(f"--weights {path}: no such folder; lasro download --to {path} makes one")
        os.environ[FOLDER_VARIABLE] = str(path.absolute())
    return path


WEIGHTS_HELP = "Folder that lasro download filled, for machines without network."
WeightsFolder = Annotated[Path | None, typer.Option("--weights", callback=use_weights, metavar="DIR", help=WEIGHTS_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Out = Annotated[Path, typer.Option(help="Run folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what stands at --out first.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run at --out.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
GeneratorName = Annotated[
    str,
    typer.Option(
        help="Preset, your own preset (.yaml), pipeline folder or hub id.", metavar="NAME", autocompletion=generator_names
    ),
]
RewardSpec = Annotated[
    str | None, typer.Option(help="Reward spec: ocr, my/file.py:function …", metavar="SPEC", autocompletion=reward_names)
]
Prompts = Annotated[str | None, typer.Option(help="Prompt set, text file of a prompt a line, or table with a column prompt.")]
Pictures = Annotated[
    list[Path], typer.Argument(help="Pictures, folders, globs, or tables (.csv, .jsonl, .parquet) with a column image.")
]
PicturePrompt = Annotated[list[str] | None, typer.Option(help="One prompt for all, or one a picture.")]
BatchSize = Annotated[int, typer.Option(help="Pictures of one size scored at once.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Real pictures to learn from too: a table, or a folder with metadata.csv or a .txt beside each picture."),
]
Precision = Annotated[
    str, typer.Option(help="Of the generator's frozen weights: float32, bfloat16, or float16 (not for training).")
]
TextCache = Annotated[
    Path | None, typer.Option(help="Folder that remembers encoded prompts; text encoders are loaded for new ones alone.")
]
RewardWorkers = Annotated[
    int,
    typer.Option(help="Processes of their own that score, each with a part of a batch; 0: this process does.", metavar="N"),
]
Device = Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, cuda:1, mps.")]
Guard = Annotated[
    list[str] | None,
    typer.Option(
        "--guard",
        help="Reward never trained on, to watch; repeatable.  [default: artifact_guard and a second opinion]",
        metavar="SPEC",
        autocompletion=reward_names,
        rich_help_panel="Watching",
    ),
]


run_flag = partial(typer.Option, rich_help_panel="Run")


READ = ("surrogate", "generator", "adapter", "prompts", "eval_prompts", "images", "teacher")  # settings that may name a path


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every command with a run folder is told; in help, the last group."""

    out: Annotated[Path | None, run_flag(help="Run folder.  [default: runs/REWARD]")] = None
    overwrite: Annotated[bool, run_flag("--overwrite", help="Delete what stands at --out first.")] = False
    resume: Annotated[bool, run_flag("--resume", help="Go on with the run at --out.")] = False
    dry_run: Annotated[
        bool, run_flag("--dry-run", help="Print what would be fetched, called, written and waited for; do nothing.")
    ] = False
    config: Config = None
    set_: Set = None
    weights: Annotated[Path | None, run_flag("--weights", callback=use_weights, metavar="DIR", help=WEIGHTS_HELP)] = None
    seed: Annotated[int, run_flag(help="Seed of everything that is drawn.")] = 0
    device: Annotated[str, run_flag(help="Where networks run: auto, cpu, cuda, cuda:1, mps.")] = "auto"
    json: Annotated[bool, run_flag("--json", help="Print one JSON value on stdout.")] = False

    @property
    def writing(self) -> dict[str, Any]:
        """How `check_out` and `open_run` are to treat the folder."""
        reads = [*(getattr(self, "data", None) or []), *(getattr(self, name, None) for name in READ)]
        return {"overwrite": self.overwrite, "resume": self.resume, "reads": reads}
