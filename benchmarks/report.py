# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Write docs/benchmarks.md from the records in benchmarks/results.

    python benchmarks/report.py
"""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / 'benchmarks' / 'results'
DOCUMENT = ROOT / 'docs' / 'benchmarks.md'
HEAD = """# Benchmarks

Written by `python benchmarks/report.py` from the records in `benchmarks/results`; do not edit.
Every record is what its command printed, on the machine that it names. The comparisons with
MultiVae need `pip install -e '.[benchmarks]'`.
"""
_MET = {True: 'yes', False: '**no**', None: ''}


def rows(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table in Markdown."""
    return [
        f'| {" | ".join(str(cell).replace("|", chr(92) + "|") for cell in line)} |'
        for line in (columns, ['---'] * len(columns), *lines)
    ]


def section(record: dict[str, Any]) -> list[str]:
    """Return what a record says, as lines of Markdown."""
    results = record['results']
    lines = [
        f'## {record["benchmark"].replace("_", " ").capitalize()}', '',
        f'`{record["command"]}`: {record["seconds"]} s on {record["machine"]}.', '',
    ]
    if results['bars']:
        bars = [(one['bar'], one['value'], _MET[one['met']]) for one in results['bars']]
        lines += [*rows(('Bar', 'Measured', 'Met'), bars), '']
    for one in results['tables']:
        lines += [f'### {one["title"]}', '']
        lines += [one['note'], ''] if one['note'] else []
        lines += [*rows(one['columns'], one['rows']), '']
    return lines


def document(records: Sequence[dict[str, Any]]) -> str:
    """Return the whole document."""
    lines = [HEAD]
    for record in sorted(records, key=lambda one: str(one['benchmark'])):
        lines += section(record)
    return '\n'.join(lines).rstrip() + '\n'


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document([
        json.loads(path.read_text()) for path in sorted(RECORDS.glob('*.json'))
    ]))


if __name__ == '__main__':
    main()
