"""What a picture was made of, kept in its PNG: the text that AUTOMATIC1111's web UI writes and other tools read, and JSON."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

TEXT_KEY, JSON_KEY = "parameters", "lasro"
# Names of the text's last line, as the web UI's "infotext" has them, and ours.
NAMES = {
    "Steps": "num_inference_steps",
    "Sampler": "sampler",
    "CFG scale": "guidance_scale",
    "Seed": "seed",
    "Size": "size",
    "Model": "generator",
    "Lora": "adapter",
}
_FIELD = re.compile(r'\s*([\w ]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def infotext(parameters: dict[str, Any]) -> str:
    """The prompt, and below it one line of NAME: VALUE; values with commas or quotes are JSON strings, as the web UI does."""
    fields = [(name, parameters.get(key)) for name, key in NAMES.items()]
    fields.append(("Version", f"lasro {version('lasro')}"))
    return f"{parameters['prompt']}\n" + ", ".join(f"{name}: {_quoted(value)}" for name, value in fields if value is not None)


def read_infotext(text: str) -> dict[str, str]:
    """The inverse: prompt and fields, as text."""
    prompt, _, line = text.rpartition("\n")
    found = {NAMES.get(name.strip(), name.strip()): _unquoted(value) for name, value in _FIELD.findall(line)}
    return {"prompt": prompt, **found}


def with_parameters(parameters: dict[str, Any]) -> PngInfo:
    """Both forms, to be given to Pillow's `save` as `pnginfo`; text that Latin-1 cannot hold becomes iTXt."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(TEXT_KEY, infotext(parameters))
    info.add_text(JSON_KEY, json.dumps(parameters, ensure_ascii=False))
    return info


def save_png(picture: Image, path: Path, parameters: dict[str, Any] | None = None) -> None:
    """Write a picture whole or not at all, with what it was made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    picture.save(draft, format="PNG", pnginfo=with_parameters(parameters) if parameters else None)
    draft.replace(path)


def is_ours(path: Path) -> bool:
    """Whether `lasro generate` wrote a file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return JSON_KEY in getattr(picture, "text", {})
    except (OSError, ValueError):
        return False


def read_parameters(path: Path) -> dict[str, Any]:
    """What `lasro generate` wrote into a picture; of another tool's picture, what its infotext says.

    Raises:
        ImageError: no readable picture, or nothing is written in it.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            held = dict(getattr(picture, "text", {}))
        if JSON_KEY in held:
            return json.loads(held[JSON_KEY])
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: not a readable picture ({error})") from error
    if TEXT_KEY not in held:
        raise ImageError(f"{path}: holds no parameters; give a PNG that lasro generate wrote")
    return read_infotext(held[TEXT_KEY])


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:"\n') else text


def _unquoted(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text.strip()
