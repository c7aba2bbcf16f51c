# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation as JSON, ``metrics.json``; what could not be measured is null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
import json
from math import isfinite
from typing import Any

from m2vae_ros.evaluation.findings import Findings, SubsetFindings

FORMAT_VERSION = 1
_AS_THEY_ARE = (
    'model', 'bag', 'command', 'package_version', 'provenance', 'objective', 'fused_sets',
    'untrained_sets', 'seen_in_training', 'seconds', 'longest_gap_s', 'information_gain',
)


def to_json(findings: Findings) -> str:
    """Return the text of ``metrics.json``."""
    content = {
        'format_version': FORMAT_VERSION,
        **{name: getattr(findings, name) for name in _AS_THEY_ARE},
        'sensors': [spec.to_dict() for spec in findings.sensors],
        'traffic': [asdict(one) for one in findings.traffic],
        'latent_plane_explained': list(findings.course.explained),
        'subsets': [_subset(one) for one in findings.subsets],
        'reconstruction': [_error(asdict(one)) for one in findings.errors],
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False) + '\n'


def _subset(one: SubsetFindings) -> dict[str, Any]:
    content = asdict(one)
    content['coverage'] = {str(level): share for level, share in one.coverage.items()}
    return content


def _error(content: dict[str, Any]) -> dict[str, Any]:
    """Return an error with the key that the demo's summary has for its source."""
    return {'sensor': content.pop('sensor'), 'from': content.pop('source'), **content}


def _plain(value: Any) -> Any:
    """Return JSON types; a number that is none becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
