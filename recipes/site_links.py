"""A hook of `mkdocs build`: what pages link to, and show, of the repository outside `docs/`, which is no part of the site.

With `repo_url` in mkdocs.yml links lead there, else their text stands without a link; pictures come into the site. On GitHub,
and in an editor, both work as they are written.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]+)\]\((?P<path>\.\.?/[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files, **_: object) -> str:  # noqa: ANN401 - mkdocs's
    """The page's text, links that leave `docs/` replaced, and pictures from there brought in."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, link["path"]))
        if path.startswith("docs/"):
            return link[0]
        if link["picture"]:
            if not files.get_file_from_path(path):
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
            return f"![{link['text']}]({posixpath.relpath(path, folder)})"
        return f"[{link['text']}]({config.repo_url.rstrip('/')}/blob/main/{path})" if config.repo_url else link["text"]

    return LINK.sub(replaced, markdown)
