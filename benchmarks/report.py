# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Write docs/benchmarks.md and docs/benchmarks from the records in benchmarks/results.

    python benchmarks/report.py
"""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from textwrap import fill
from typing import Any

import questions
from records import Records
from verdict import paragraphs

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / 'benchmarks' / 'results'
DOCS = ROOT / 'docs'
VERDICT = 'benchmarks.md'
WRITTEN = ('Written by `python benchmarks/report.py` from the records in `benchmarks/results`; do '
           'not edit.')
ABOUT = (
    'Every record is what its command printed, on the machine that it names; a command below '
    "leads to its tables. The comparisons with MultiVae need `pip install -e '.[benchmarks]'`."
)
LEGEND = {
    'joint': 'log p of all sensors',
    'other_given_one': 'log p of the other sensors given one, predictive, mean over the sensors',
    'one_given_rest': 'log p of one sensor given the others, predictive, mean over the sensors',
    'drawn_other_given_one': 'other_given_one from draws of the encoder alone, without a fitted '
                             'proposal: what it lacks, the draws did not meet',
    'joint_effective_samples': 'how many draws count in the estimate of joint, median',
    'other_effective_samples': 'the same of other_given_one, the least of its sensors',
    'accuracy_one': 'share of right classes from the latent of one sensor',
    'accuracy_rest': 'the same from all sensors but one',
    'accuracy_all': 'the same from all sensors',
    'coherence_one': 'share of images decoded from the latent of one sensor in which a classifier '
                     'of true images sees the class',
    'coherence_rest': 'the same from all sensors but one',
    'coherence_all': 'the same from all sensors',
}


def table(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table in Markdown."""
    return [
        f'| {" | ".join(str(cell).replace("|", chr(92) + "|") for cell in line)} |'
        for line in (columns, ['---'] * len(columns), *lines)
    ]


def verdict(records: Sequence[dict[str, Any]]) -> str:
    """Return the page of the verdict."""
    known = Records(records)
    lines = ['# Benchmarks', '', _filled(f'{WRITTEN} {ABOUT}'), '', '## Verdict', '']
    for paragraph in paragraphs(known):
        lines += [_filled(paragraph), '']
    lines += [*table(('Question', 'Answer', 'Number', 'Command'), [
        (row.question, row.answer, row.number,
         f'[`{known.command(row.benchmark)}`](benchmarks/{row.benchmark}.md)')
        for row in questions.rows(known)
    ]), '', _filled(f'Without a record, for a machine of your own: {_unrecorded(records)}.')]
    return '\n'.join(lines).rstrip() + '\n'


def page(record: dict[str, Any]) -> str:
    """Return the page of one record: all its bars and tables."""
    results = record['results']
    lines = [
        f'# {record["benchmark"].replace("_", " ").capitalize()}', '',
        _filled(f'{WRITTEN} What it comes to: [benchmarks](../{VERDICT}).'), '',
        f'`{record["command"]}`: {record["seconds"]} s on {record["machine"]}.', '',
    ]
    if results['bars']:
        bars = [
            (bar['bar'], bar['value'], questions.answer([bar['met']])) for bar in results['bars']
        ]
        lines += [*table(('Bar', 'Measured', 'Met'), bars), '']
    used = {column for found in results['tables'] for column in found['columns']}
    lines += [f'- `{column}`: {LEGEND[column]}.' for column in LEGEND if column in used]
    lines += [''] * (not used.isdisjoint(LEGEND))
    for found in results['tables']:
        lines += [f'## {found["title"]}', '']
        lines += [found['note'].strip(), ''] if found['note'] else []
        lines += [*table(found['columns'], found['rows']), '']
    return '\n'.join(lines).rstrip() + '\n'


def pages(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return all pages: path below docs -> text."""
    return {VERDICT: verdict(records)} | {
        f'benchmarks/{record["benchmark"]}.md': page(record) for record in records
    }


def _unrecorded(records: Sequence[dict[str, Any]]) -> str:
    """Return the benchmarks that only print."""
    recorded = {record['benchmark'] for record in records}
    return ', '.join(
        f'`{path.name}`' for path in sorted(Path(__file__).parent.glob('*.py'))
        if path.stem not in recorded and path.name != Path(__file__).name
        and "__name__ == '__main__'" in path.read_text()
    )


def _filled(text: str) -> str:
    return fill(text, 99, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Write the pages, and remove those of records that are gone."""
    written = pages([json.loads(path.read_text()) for path in sorted(RECORDS.glob('*.json'))])
    (DOCS / 'benchmarks').mkdir(exist_ok=True)
    for path in (DOCS / 'benchmarks').glob('*.md'):
        if f'benchmarks/{path.name}' not in written:
            path.unlink()
    for name, text in written.items():
        (DOCS / name).write_text(text)


if __name__ == '__main__':
    main()
