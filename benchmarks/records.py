# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Read bars and figures of the records in benchmarks/results by name, see `results.py`."""

from __future__ import annotations

from collections.abc import Sequence
import re
from typing import Any


class Records:
    """
    All records.

    Raises
    ------
    ValueError
        By every method, if there is nothing of the name.

    """

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self._records = {record['benchmark']: record for record in records}

    def command(self, benchmark: str) -> str:
        """Return what was run, without where the record went."""
        return re.sub(r' --out \S+', '', self._of(benchmark)['command'])

    def bars(self, benchmark: str, words: str = '') -> list[dict[str, Any]]:
        """Return the bars whose text has some words."""
        bars = [
            bar for bar in self._of(benchmark)['results']['bars'] if words in bar['bar']
        ]
        if not bars:
            raise ValueError(f'{benchmark}: no bar has the words {words!r}')
        return bars

    def met(self, benchmark: str, words: str = '') -> list[bool]:
        """Return for each bar that has some words whether it is met."""
        return [bool(bar['met']) for bar in self.bars(benchmark, words)]

    def value(self, benchmark: str, words: str) -> str:
        """Return what was measured for the only bar that has some words."""
        bars = self.bars(benchmark, words)
        if len(bars) > 1:
            raise ValueError(f'{benchmark}: {len(bars)} bars have the words {words!r}')
        return pretty(bars[0]['value'])

    def table(self, benchmark: str, title: str) -> list[dict[str, str]]:
        """Return the rows of a table, column -> cell."""
        for table in self._of(benchmark)['results']['tables']:
            if table['title'] == title:
                return [
                    dict(zip(table['columns'], map(pretty, map(str, row)), strict=True))
                    for row in table['rows']
                ]
        raise ValueError(f'{benchmark}: no table {title!r}')

    def column(self, benchmark: str, title: str, column: str) -> dict[str, str]:
        """Return a column of a table whose first column names the rows: name -> cell."""
        return {next(iter(row.values())): row[column] for row in self.table(benchmark, title)}

    def _of(self, benchmark: str) -> dict[str, Any]:
        if benchmark not in self._records:
            raise ValueError(f'no record of {benchmark}, only of {sorted(self._records)}')
        return self._records[benchmark]


def pretty(figure: str) -> str:
    """Return a figure as a page has it."""
    return figure.replace('+-', '±').replace(' %', '%')


def number(figure: str) -> float:
    """Return the first number of a figure, which is its mean."""
    found = re.match(r'[-+]?[\d.]+', figure)
    if not found:
        raise ValueError(f'{figure!r} does not begin with a number')
    return float(found[0])


def span(figures: Sequence[str]) -> str:
    """Return the least and the largest of some figures."""
    ordered = sorted(figures, key=number)
    least, largest = (re.match(r'\S+', figure)[0] for figure in (ordered[0], ordered[-1]))
    return least if least == largest else f'{least} to {largest}'
