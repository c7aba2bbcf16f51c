# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The documents, taken apart: sections, tables, code blocks and anchors."""

from __future__ import annotations

from pathlib import Path
import re

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / 'README.md').read_text()
NODE = (ROOT / 'docs' / 'node.md').read_text()
ROBOT = (ROOT / 'docs' / 'robot.md').read_text()
REPLAY = (ROOT / 'docs' / 'replay.md').read_text()
INSTALLATION = (ROOT / 'docs' / 'installation.md').read_text()


def section(document: str, title: str) -> str:
    """Return what stands below a heading, up to the next one."""
    found = re.search(rf'^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)', document, re.M | re.S)
    assert found, f'there is no section {title!r}'
    return found[1]


def anchors(document: str) -> set[str]:
    """Return the anchors that a code host and MyST make of the headings."""
    text = re.sub(r'^```.*?^```', '', document, flags=re.M | re.S)
    headings = re.findall(r'^#+ (.+)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in headings}


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of all tables in a text: column -> cell, without backquotes."""
    found = []
    for block in re.findall(r'(?:^\|.*\n)+', text, re.M):
        header, _, *lines = ([cell.strip().replace('`', '') for cell in line.split('|')[1:-1]]
                             for line in block.splitlines())
        found += [dict(zip(header, line, strict=True)) for line in lines]
    return found


def code(language: str, text: str) -> str:
    """Return the code blocks in a language."""
    return '\n'.join(re.findall(rf'```{language}\n(.*?)```', text, re.S))
