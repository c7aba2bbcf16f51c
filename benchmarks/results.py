# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The record that a benchmark leaves, from which `report.py` writes its page and the verdict.

A record is JSON: benchmark, command, seconds, machine, and results: ``tables``, each with title,
columns, rows and note, and ``bars``, each with bar, value and met (true, false or null where
the figure alone is asked for).
"""

from __future__ import annotations

from collections.abc import Sequence
import json
import os
from pathlib import Path
import time
from typing import Any

import torch


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ''
) -> dict[str, Any]:
    """Return a table of a record; the first column names the rows."""
    return {'title': title, 'columns': list(columns), 'rows': [list(r) for r in rows],
            'note': note}


def bar(text: str, value: str, met: bool | None) -> dict[str, Any]:
    """Return what was asked for, what was measured, and whether that is enough."""
    return {'bar': text, 'value': value, 'met': met}


def write(
    path: Path, benchmark: str, command: str, started: float, tables: Sequence[dict[str, Any]],
    bars: Sequence[dict[str, Any]] = (), machine: str = '',
) -> None:
    """Write the record; `started` is `time.monotonic()` of the beginning, '' is this machine."""
    record = {
        'benchmark': benchmark,
        'command': command,
        'seconds': round(time.monotonic() - started),
        'machine': machine or f'{os.cpu_count()} CPU cores, torch {torch.__version__}',
        'results': {'tables': list(tables), 'bars': list(bars)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + '\n')
