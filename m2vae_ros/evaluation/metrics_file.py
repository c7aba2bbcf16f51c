# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation as ``metrics.json``; what could not be measured is null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
import json
from math import isfinite
from typing import Any

from m2vae_ros.evaluation.findings import Findings, SensorError, SubsetFindings

FORMAT_VERSION = 1
_COPIED_FIELDS = (
    'model', 'bag', 'command', 'package_version', 'provenance', 'objective', 'fused_sets',
    'untrained_sets', 'absent', 'remarks', 'seen_in_training', 'seconds', 'longest_gap_s',
    'information_gain',
)


def to_json(findings: Findings) -> str:
    """Return the text of ``metrics.json``."""
    content = {
        'format_version': FORMAT_VERSION,
        **{name: getattr(findings, name) for name in _COPIED_FIELDS},
        'sensors': [spec.to_dict() for spec in findings.sensors],
        'traffic': [asdict(each) for each in findings.traffic],
        'latent_plane_explained': list(findings.timeline.explained),
        'subsets': [_subset(each) for each in findings.subsets],
        'reconstruction': [_error(each) for each in findings.errors],
    }
    return json.dumps(_to_json_types(content), indent=2, allow_nan=False) + '\n'


def _subset(found: SubsetFindings) -> dict[str, Any]:
    content = asdict(found)
    content['coverage'] = {str(level): share for level, share in found.coverage.items()}
    return content


def _error(error: SensorError) -> dict[str, Any]:
    """Return an error under the keys that the demo's summary has as well."""
    content = asdict(error)
    return {'sensor': content.pop('sensor'), 'from': content.pop('source'), **content}


def _to_json_types(value: Any) -> Any:
    """Return a value in JSON types; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _to_json_types(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json_types(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
