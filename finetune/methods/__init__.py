"""Fine-tuning methods by name. Each module has a `Method` and its `Settings`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from finetune.errors import ConfigError
from reward_zoo.errors import SpecError, did_you_mean
from reward_zoo.options import typed_options

if TYPE_CHECKING:
    from finetune.method import Method

METHODS = {
    "lasro": "finetune.methods.lasro",
    "ddpo": "finetune.methods.ddpo",
    "pso": "finetune.methods.pso",
    "gors": "finetune.methods.gors",
    "best-of-n": "finetune.methods.best_of_n",
    "refl": "finetune.methods.refl",
    "draft-lv": "finetune.methods.draft_lv",
}


def load_method(name: str, options: dict[str, str]) -> tuple[type[Method], Any]:
    """A method's class, and its settings from texts by name.

    Raises:
        ConfigError: no such method, no such setting, or a value out of its range.
    """
    if name not in METHODS:
        raise ConfigError(f"--method {name}: no such method; {did_you_mean(name, METHODS)}")
    module = import_module(METHODS[name])
    try:
        return module.Method, module.Settings(**typed_options(module.Settings, options, f"--set of {name}"))
    except SpecError as error:
        raise ConfigError(str(error)) from error
