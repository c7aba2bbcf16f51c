# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node's parameters: one source of defaults, and rules that name what is wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.fusion.options import SynchronizerOptions  # noqa: E402
from m2vae_ros.node.parameters import FusionParameters, SensorParameters  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402

CONFIG = Path(__file__).resolve().parents[1] / 'config' / 'fusion.yaml'


def test_the_parameter_file_holds_exactly_the_defaults():
    written = yaml.safe_load(CONFIG.read_text())['/**']['ros__parameters']
    sensors = {
        spec.name: {
            name: getattr(SensorParameters.of(spec), name) for name in SensorParameters.names(spec)
        }
        for spec in SENSORS
    }
    assert written == {**asdict(FusionParameters()), **sensors}


def test_the_node_waits_as_long_as_the_synchronizer_would_by_itself():
    assert FusionParameters().synchronizer() == SynchronizerOptions()


@pytest.mark.parametrize('parameters', [FusionParameters, SensorParameters])
def test_every_parameter_says_what_it_is_and_numbers_have_a_range(parameters):
    for rule in parameters.__dataclass_fields__.values():
        assert rule.metadata['description']
        if isinstance(rule.default, (int, float)) and not isinstance(rule.default, bool):
            low, high = rule.metadata['range']
            assert low <= rule.default <= high
