"""`lasro rewards …` and `lasro cache …`: their flags and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import BatchSize, Json, PicturePrompt, Pictures, WeightsFolder

rewards_app = typer.Typer(help="List, explain and use rewards.", no_args_is_help=True, rich_markup_mode=None)
cache_app = typer.Typer(help="Scores kept on disk.", no_args_is_help=True, rich_markup_mode=None)


@rewards_app.command("list", cls=Grouped, epilog=shown("lasro rewards list --differentiable --license permissive --json"))
def rewards_list(
    differentiable: Annotated[bool, typer.Option("--differentiable", help="Only those with a gradient.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Only those that never fetch a file.")] = False,
    needs_prompt: Annotated[bool, typer.Option("--needs-prompt", help="Only those that read the prompt.")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only those that run on this machine now.")] = False,
    license_kind: Annotated[
        str | None, typer.Option("--license", help="permissive: no copyleft, no non-commercial part.")
    ] = None,
    weights: WeightsFolder = None,
    json: Json = False,
) -> None:
    """All registered rewards."""
    from cli.commands.rewards import list_command

    filters = {"differentiable": differentiable, "offline": offline, "needs_prompt": needs_prompt, "ready": ready}
    list_command(filters=filters, license_kind=license_kind, as_json=json)


@rewards_app.command("info", cls=Grouped, epilog=shown("lasro rewards info ocr"))
def rewards_info(name: Annotated[str, typer.Argument(help="A reward's name.")], json: Json = False) -> None:
    """A reward's card."""
    from cli.commands.rewards import info_command

    info_command(name, as_json=json)


@rewards_app.command(
    "prepare",
    cls=Grouped,
    epilog=shown("lasro rewards prepare image_reward_original isolated:my_rewards.py:left_dark"),
)
def rewards_prepare(
    reward: Annotated[list[str], typer.Argument(help="Reward spec; several are taken.")], json: Json = False
) -> None:
    """Build the environments of rewards that run in one of their own, before they are asked."""
    from cli.commands.rewards import prepare_command

    prepare_command(reward, as_json=json)


@rewards_app.command(
    "score", cls=Grouped, epilog=shown("lasro rewards score pictures/ --reward ocr --reward aesthetic --out scores.csv")
)
def rewards_score(
    images: Pictures,
    reward: Annotated[list[str], typer.Option(help="Reward spec; repeatable.")],
    prompt: PicturePrompt = None,
    target: Annotated[list[str] | None, typer.Option(help="One target for all, or one a picture.")] = None,
    reference: Annotated[list[Path] | None, typer.Option(help="One picture to compare with for all, or one each.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a table: .csv, .jsonl or .parquet.")] = None,
    batch_size: BatchSize = 16,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Remember scores, see lasro cache.")] = True,
    weights: WeightsFolder = None,
    json: Json = False,
) -> int:
    """Score pictures; exit code 1 if some could not be scored."""
    from cli.commands.scoring import score_command

    return score_command(
        images,
        rewards=reward,
        prompts=prompt,
        targets=target,
        references=reference,
        out=out,
        batch_size=batch_size,
        use_cache=cache,
        as_json=json,
    )


@rewards_app.command("calibrate", cls=Grouped, epilog=shown("lasro rewards calibrate aesthetic --images pictures/"))
def rewards_calibrate(
    reward: Annotated[str, typer.Argument(help="Reward spec.")],
    images: Annotated[list[Path], typer.Option(help="As for score; repeatable.")],
    prompt: PicturePrompt = None,
    batch_size: BatchSize = 16,
    weights: WeightsFolder = None,
    json: Json = False,
) -> None:
    """Learn a reward's scale from your own pictures, for composites."""
    from cli.commands.scoring import calibrate_command

    calibrate_command(reward, images=images, prompts=prompt, batch_size=batch_size, as_json=json)


@rewards_app.command("agreement", cls=Grouped, epilog=shown("lasro rewards agreement pickscore --preferences votes.csv"))
def rewards_agreement(
    reward: Annotated[str, typer.Argument(help="Reward spec.")],
    preferences: Annotated[
        Path, typer.Option(help="CSV, JSONL or Parquet with columns better, worse (pictures) and, if needed, prompt.")
    ],
    batch_size: BatchSize = 16,
    weights: WeightsFolder = None,
    json: Json = False,
) -> None:
    """How often a reward prefers what people preferred."""
    from cli.commands.scoring import agreement_command

    agreement_command(reward, preferences=preferences, batch_size=batch_size, as_json=json)


@rewards_app.command("check", cls=Grouped, epilog=shown("lasro rewards check my_rewards.py:left_dark"))
def rewards_check(
    reward: Annotated[str, typer.Argument(help="Reward spec.")], weights: WeightsFolder = None, json: Json = False
) -> int:
    """Does a reward keep what every reward promises? Exit code 1 if not."""
    from cli.commands.own_rewards import check_command

    return check_command(reward, as_json=json)


@rewards_app.command("new", cls=Grouped, epilog=shown("lasro rewards new left_dark"))
def rewards_new(
    name: Annotated[str, typer.Argument(help="Name of the reward, a Python name.")],
    out: Annotated[Path | None, typer.Option(help="File to write.  [default: NAME.py]")] = None,
) -> None:
    """Write a commented starter file for a reward of your own."""
    from cli.commands.own_rewards import new_command

    new_command(name, out=out)


@cache_app.command("info", cls=Grouped, epilog=shown("lasro cache info --json"))
def cache_info(json: Json = False) -> None:
    """Where kept scores are, and how many."""
    from cli.commands.scoring import cache_info_command

    cache_info_command(as_json=json)


@cache_app.command("clear", cls=Grouped, epilog=shown("lasro cache clear --reward ocr"))
def cache_clear(
    reward: Annotated[str | None, typer.Option(help="Only those of this spec, or its members.")] = None, json: Json = False
) -> None:
    """Forget kept scores."""
    from cli.commands.scoring import cache_clear_command

    cache_clear_command(reward=reward, as_json=json)
