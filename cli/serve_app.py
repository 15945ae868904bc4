"""`lasro serve`: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import Json, WeightsFolder
from reward_zoo.serving.config import ServeConfig

serve_app = typer.Typer(rich_markup_mode=None)


@serve_app.command(cls=Grouped, epilog=shown("lasro serve --reward ocr --reward looks=0.5*aesthetic+0.5*contrast --port 8000"))
def serve(
    reward: Annotated[list[str], typer.Option(help="Reward spec, or NAME=SPEC to serve it by another name; repeatable.")],
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback can be reached from elsewhere.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    unix: Annotated[Path | None, typer.Option(help="Listen at this Unix socket instead.")] = None,
    token_from: Annotated[str | None, typer.Option(help="Environment variable that holds the token clients must send.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File that holds it.")] = None,
    max_batch: Annotated[
        int, typer.Option(help="Images that requests of several clients are scored in at once; 1: each by itself.")
    ] = ServeConfig.max_batch,
    max_wait_ms: Annotated[
        float, typer.Option(help="Milliseconds that a batch waits for more requests, at most as long as a call takes.")
    ] = ServeConfig.max_wait_ms,
    max_queue: Annotated[
        int, typer.Option(help="Requests accepted and not answered; more are told to come back.")
    ] = ServeConfig.max_queue,
    max_body_mb: Annotated[float, typer.Option(help="Size of a request.")] = ServeConfig.max_body_mb,
    max_images: Annotated[int, typer.Option(help="Images of a request.")] = ServeConfig.max_images,
    timeout: Annotated[float, typer.Option(help="Seconds from a request's arrival to its answer.")] = ServeConfig.timeout,
    stop_timeout: Annotated[
        float, typer.Option(help="Seconds that stopping takes at most to finish what was accepted.")
    ] = ServeConfig.stop_timeout,
    weights: WeightsFolder = None,
    json: Json = False,
) -> None:
    """Serve rewards over HTTP: anywhere else they are http://HOST:PORT/NAME. Logs are JSON lines on stderr."""
    from cli.commands.serve import serve as run

    config = ServeConfig(
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        max_queue=max_queue,
        max_body_mb=max_body_mb,
        max_images=max_images,
        timeout=timeout,
        stop_timeout=stop_timeout,
    )
    run(reward, host=host, port=port, unix=unix, token_from=token_from, token_file=token_file, config=config, as_json=json)
