# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Check that the links within a built site lead to a page, picture or place of it.

    python .ci/check_links.py build/docs

Nothing is fetched: links to other sites are not followed.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
import sys
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The places of a page that can be linked to, and the links that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places = {''}
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names and where it leads."""
        for name, value in attrs:
            if name == 'id' or (tag, name) == ('a', 'name'):
                self.places.add(value or '')
            elif name in ('href', 'src'):
                self.links.append(value or '')


def dead_links(folder: Path) -> list[str]:
    """Return the links of all pages below a folder that lead nowhere: ``page: link``."""
    pages = {path.resolve(): Page(path.read_text()) for path in sorted(folder.rglob('*.html'))}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = pages[target].places if target in pages else {''}
            if not target.is_file() or unquote(parts.fragment) not in places:
                dead.append(f'{path.relative_to(folder.resolve())}: {link}')
    return dead


def main(folder: Path) -> int:
    """Print the dead links; return the exit code."""
    dead = dead_links(folder)
    count = len(list(folder.rglob('*.html')))
    print('\n'.join([*dead, f'{folder}: {count} pages, {len(dead)} dead links']))
    return 1 if dead or not count else 0


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1])))
