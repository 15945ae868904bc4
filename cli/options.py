"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Out = Annotated[Path, typer.Option(help="Run folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what stands at --out first.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run at --out.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
GeneratorName = Annotated[str, typer.Option(help="Preset, your own preset (.yaml), pipeline folder or hub id.")]
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
Samples = Annotated[int, typer.Option(help="Reward calls to spend on labels.")]
Noises = Annotated[int, typer.Option(help="Initial noises a prompt.")]
ExtraSteps = Annotated[
    int | None, typer.Option(help="Also label samples of so many network calls; 0 is none.  [default: the preset's]")
]
Precision = Annotated[
    str, typer.Option(help="Of the generator's frozen weights: float32, bfloat16, or float16 (not for training).")
]
TextCache = Annotated[
    Path | None, typer.Option(help="Folder that remembers encoded prompts; text encoders are loaded for new ones alone.")
]
Device = Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, cuda:1, mps.")]
Guard = Annotated[
    list[str] | None,
    typer.Option(help="Reward never trained on, to watch; repeatable.  [default: artifact_guard and a second opinion]"),
]
