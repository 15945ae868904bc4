"""`lasro download`: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import Json, generator_names, reward_names

download_app = typer.Typer(rich_markup_mode=None)


@download_app.command(
    cls=Grouped,
    epilog=shown("lasro download --reward clip_score --generator sdxl-turbo --to weights"),
)
def download(
    to: Annotated[Path, typer.Option(help="Folder to fill; what is there is not fetched again.")],
    reward: Annotated[
        list[str] | None,
        typer.Option(help="Reward spec whose weights are wanted; repeatable.", metavar="SPEC", autocompletion=reward_names),
    ] = None,
    generator: Annotated[
        list[str] | None,
        typer.Option(help="Preset, preset.yaml or hub id; repeatable.", metavar="NAME", autocompletion=generator_names),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and touch nothing.")] = False,
    json: Json = False,
) -> None:
    """Fetch weights into a folder that a machine without network uses by --weights."""
    from cli.commands.download import download as run

    run(to=to, rewards=reward or [], generators=generator or [], dry_run=dry_run, as_json=json)
