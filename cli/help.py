"""Help that can be read: flags in groups, examples that can be copied, and no colour needed."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from cli.output import data_alone

PLAINLY = {
    **{"<list[str]>": "TEXT", "<list[Path]>": "PATH", "<list[int]>": "N"},
    **{"<str>": "TEXT", "<path>": "PATH", "<int>": "N", "<float>": "X"},
}
LAST = "Run"  # the group of flags that every long command has


class Grouped(TyperCommand):
    """A command whose help shows flags by their group (`rich_help_panel`), those without one first.

    While it runs, stdout is its data alone.
    """

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's, or typer's copy of it
        """Run it."""
        with data_alone():
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, or typer's copy of it
        """Write the flags, a section a group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
                groups.setdefault(group, []).append(_plainly(record))
        last = groups.pop(LAST, [])
        for group, records in [*groups.items(), (LAST, last)]:
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


def shown(example: str) -> str:
    """An epilog that is not wrapped: a line to copy."""
    return f"\b\nExample: {example}"


def _plainly(record: tuple[str, str]) -> tuple[str, str]:
    """Without the names of Python's types."""
    flag, text = record
    for kind, said in PLAINLY.items():
        flag = flag.replace(kind, said)
    return flag, text
