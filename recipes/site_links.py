"""A hook of `mkdocs build`: links from a page to files of the repository outside `docs/`, which are no pages of the site.

With `repo_url` in mkdocs.yml they lead there, else their text stands without a link. On GitHub, and in an editor, they
work as they are written.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<path>\.\.?/[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: object) -> str:  # noqa: ANN401 - mkdocs's own
    """The page's text, links that leave `docs/` replaced."""

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), link["path"]))
        if path.startswith("docs/"):
            return link[0]
        return f"[{link['text']}]({config.repo_url.rstrip('/')}/blob/main/{path})" if config.repo_url else link["text"]

    return LINK.sub(replaced, markdown)
