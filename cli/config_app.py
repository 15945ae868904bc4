"""`lasro config show`: what a command would be told, and by whom."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.help import Grouped, shown
from cli.settings import OF_ONE_CALL, ORIGINS, OWN_SETTINGS, plain
from reward_zoo.errors import SpecError, did_you_mean

config_app = typer.Typer(help="Settings of a command, and where each comes from.", no_args_is_help=True, rich_markup_mode=None)
COMMANDS = ("label", "distill", "finetune")


@config_app.command(
    "show",
    cls=Grouped,
    epilog=shown("lasro config show distill --config runs/ocr/config.yaml --set steps=900 --seed 1"),
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def show(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help=f"Of {', '.join(COMMANDS)}; then its flags, as it would get them.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")] = False,
) -> None:
    """The settled settings of a command, as a config file, with where each value comes from."""
    if command not in COMMANDS:
        raise SpecError(f"config show {command}: no settings to show; {did_you_mean(command, COMMANDS)}")
    target = context.find_root().command.commands[command]
    with target.make_context(f"lasro {command}", list(context.args)) as told:
        settings = settled(told)
    if json:
        from cli.output import print_json

        print_json({name: {"value": value, "from": origin} for name, (value, origin) in settings.items()})
        return
    from cli.output import print_lines

    print_lines([f"# lasro {command}", *_as_yaml(settings)])


def settled(told: typer.Context) -> dict[str, tuple[Any, str]]:
    """Each setting's value, as plain data, and where it comes from: a flag, --set, a config file, or the default."""
    origins, found = told.meta.get(ORIGINS, {}), {}
    for parameter in told.command.params:
        name, value = parameter.name, told.params.get(parameter.name)
        if name in OF_ONE_CALL:
            continue
        source = told.get_parameter_source(name)
        flagged = source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
        found[name] = (plain(value), "flag" if flagged else origins.get(name, "default"))
    if own := told.params.get("set_"):
        values = {key: value for key, _, value in (text.partition("=") for text in own)}
        origin = origins.get("set_", "--set")
        found[OWN_SETTINGS] = (values, "--set" if told.get_parameter_source("set_").name == "COMMANDLINE" else origin)
    return found


def _as_yaml(settings: dict[str, tuple[Any, str]]) -> list[str]:
    """A line each, its origin as a comment."""
    import yaml

    lines = []
    for name, (value, _) in settings.items():
        held = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10**6).strip()
        lines.append(f"{name}: {held[1:-1]}")
    width = min(48, max(map(len, lines)))
    return [f"{line.ljust(width)}  # {origin}" for line, (_, origin) in zip(lines, settings.values(), strict=True)]
