"""A command's settings: one object, filled from defaults, a config file, `--set` and flags, each over the one before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
import yaml

from cli.help import Grouped, shown
from reward_zoo.errors import SpecError, did_you_mean

ORIGINS = "lasro.origins"  # in a context's meta: where a value that no flag gave comes from, by parameter
OF_ONE_CALL = ("config", "set_", "dry_run", "out", "overwrite", "resume", "json")  # what no run's config.yaml holds
OWN_SETTINGS = "method_settings"  # in a config file: a method's own settings, as --set gives them
Kind = TypeVar("Kind")


def command(app: typer.Typer, kind: type[Kind], *, example: str) -> Callable[[Callable[[Kind], None]], Any]:
    """Decorator: make a function of a settings object a command, each field of the dataclass `kind` one of its flags."""

    def decorate(function: Callable[[Kind], None]) -> Any:  # noqa: ANN401 - what typer gives back
        hints = get_type_hints(kind, include_extras=True)

        def run(**given: Any) -> None:  # noqa: ANN401 - as the fields say
            function(kind(**given))

        run.__name__, run.__doc__, run.__annotations__ = function.__name__, function.__doc__, hints
        run.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                for field in fields(kind)
            ]
        )
        return app.command(cls=Grouped, epilog=shown(example))(run)

    return decorate


def take_config(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of `--config`: what the file says becomes the defaults of this call.

    Raises:
        SpecError: it cannot be read as YAML, or a key or value is wrong.
    """
    if path is None or context.resilient_parsing:
        return path
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"--config {path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(held, dict):
        raise SpecError(f"--config {path}: must be a mapping, a line for each setting as steps: 600")
    own = held.pop(OWN_SETTINGS, None) or {}
    if own and not takes_own_settings(context):
        raise SpecError(f"--config {path}: {OWN_SETTINGS}: lasro {context.command.name} has none")
    if not isinstance(own, dict):
        raise SpecError(f"--config {path}: {OWN_SETTINGS}: must be a mapping of names to values")
    for key, value in held.items():
        offer(context, str(key), value, f"--config {path}")
    if own:
        texts = [f"{key}={value}" for key, value in own.items() if value is not None]
        context.default_map = {**(context.default_map or {}), "set_": texts}
        context.meta.setdefault(ORIGINS, {})["set_"] = f"--config {path}"
    return path


def take_set(context: typer.Context, texts: list[str] | None) -> list[str]:
    """Callback of `--set`: the command's own settings become defaults; the others, a method's, are given back.

    Raises:
        SpecError: a text is not KEY=VALUE, or no setting is called so.
    """
    if context.resilient_parsing:
        return []
    from_file = (context.default_map or {}).get("set_", [])
    left, several = [], {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"--set {text}: write NAME=VALUE")
        if find(context, key) is None and takes_own_settings(context):
            left.append(text)
        elif getattr(find(context, key), "multiple", False):
            several.setdefault(key, []).append(value)
        else:
            offer(context, key, value, f"--set {text}")
    for key, values in several.items():
        offer(context, key, values, f"--set {key}")
    return left if texts == from_file else [*from_file, *left]


def find(context: typer.Context, key: str) -> Any:  # noqa: ANN401 - a click parameter
    """The parameter that a key of a config file names: as in Python, or as its flag."""
    return _settable(context).get(key.replace("-", "_"))


def takes_own_settings(context: typer.Context) -> bool:
    """Whether the command has methods with settings of their own."""
    return "method" in _settable(context)


def _settable(context: typer.Context) -> dict[str, Any]:
    named = {}
    for parameter in context.command.params:
        if parameter.name in OF_ONE_CALL and parameter.name not in ("out", "overwrite", "resume", "json"):
            continue
        flags = [flag.removeprefix("--").replace("-", "_") for flag in parameter.opts if flag.startswith("--")]
        named |= dict.fromkeys([parameter.name, *flags], parameter)
    return named


def offer(context: typer.Context, key: str, value: Any, origin: str) -> None:  # noqa: ANN401 - whatever YAML held
    """Make a value the default of this call.

    Raises:
        SpecError: no such setting, or a value of the wrong type.
    """
    parameter = find(context, key)
    if parameter is None:
        named = _settable(context)
        near = did_you_mean(key.replace("-", "_"), named)
        raise SpecError(f"{origin}: lasro {context.command.name} has no setting {key!r}; {near}")
    if value is None:
        return  # as if it were not there
    texts = _as_typed(parameter, value)
    try:
        parameter.process_value(context, texts)
    except Exception as error:
        said = getattr(error, "message", str(error)).rstrip(".")
        raise SpecError(f"{origin}: {key}: {said}") from error
    context.default_map = {**(context.default_map or {}), parameter.name: texts}
    context.meta.setdefault(ORIGINS, {})[parameter.name] = "--set" if origin.startswith("--set") else origin


def _as_typed(parameter: Any, value: Any) -> Any:  # noqa: ANN401 - a click parameter, and what YAML held
    """A value of YAML as it would be typed after a flag."""
    if getattr(parameter, "multiple", False):
        return [str(part) for part in value] if isinstance(value, list | tuple) else [str(value)]
    return value if isinstance(value, bool) and getattr(parameter, "is_flag", False) else str(value)


def chosen(kind: type[Kind], settings: object, **more: Any) -> Kind:  # noqa: ANN401 - fields of `kind`
    """A dataclass of the rooms below from the flags of the same names; what is left open keeps its default."""
    given = {field.name: getattr(settings, field.name, None) for field in fields(kind)} | more
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None and value != []
        }
    )


def as_config(settings: object, **resolved: Any) -> dict[str, Any]:  # noqa: ANN401 - values that the run found
    """What a run's config.yaml holds: every setting but those of one call, ready to be given back by `--config`."""
    values = {name: value for name, value in vars(settings).items() if name not in OF_ONE_CALL}
    return {name: plain(value) for name, value in {**values, **resolved}.items()}


def plain(value: Any) -> Any:  # noqa: ANN401
    """As YAML and JSON hold it."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=take_config,
        is_eager=True,
        help="YAML file of settings, as a run's config.yaml.",
        metavar="FILE",
        rich_help_panel="Run",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        callback=take_set,
        metavar="NAME=VALUE",
        help="A setting, over the config file and under flags; repeatable.",
        rich_help_panel="Run",
    ),
]
