# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The RViz and Foxglove views show topics that exist, with a QoS that can subscribe to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from m2vae_ros.simulation.robot import SENSORS

CONFIG = Path(__file__).resolve().parents[1] / 'config'


def views() -> dict[str, set[str]]:
    """Return the topics that the RViz and Foxglove views show."""
    rviz = yaml.safe_load((CONFIG / 'fusion.rviz').read_text())['Visualization Manager']
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())['configById']
    foxglove = {
        config['imageMode']['imageTopic']
        for panel, config in layout.items() if panel.startswith('Image!')
    }
    return {
        'rviz': {display['Topic']['Value'] for display in rviz['Displays'] if 'Topic' in display},
        'foxglove': foxglove | set(layout['3D!ranges']['topics']),
    }


@pytest.mark.parametrize('view', ['rviz', 'foxglove'])
def test_the_views_show_every_sensor_beside_its_reconstruction(view: str) -> None:
    measured = {f'/{spec.topic}' for spec in SENSORS}
    reconstructed = {f'/fusion/{spec.name}/reconstruction' for spec in SENSORS}
    assert views()[view] == measured | reconstructed


def test_rviz_listens_to_sensors_best_effort_and_to_reconstructions_reliably() -> None:
    rviz = yaml.safe_load((CONFIG / 'fusion.rviz').read_text())['Visualization Manager']
    kinds = {'image': 'Image', 'laser_scan': 'LaserScan', 'point_cloud': 'PointCloud2'}
    displays = {shown['Topic']['Value']: shown for shown in rviz['Displays'] if 'Topic' in shown}
    for spec in SENSORS:
        for topic, reliability in (
            (f'/{spec.topic}', 'Best Effort'),
            (f'/fusion/{spec.name}/reconstruction', 'Reliable'),
        ):
            assert displays[topic]['Class'] == f'rviz_default_plugins/{kinds[spec.kind]}'
            assert displays[topic]['Topic']['Reliability Policy'] == reliability


def test_the_foxglove_layout_places_each_panel_once_and_shows_latent_and_diagnostics() -> None:
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())

    def panels(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        return panels(node['first']) + panels(node['second'])

    placed = panels(layout['layout'])
    assert sorted(placed) == sorted(layout['configById'])
    kinds = {panel.split('!')[0]: config for panel, config in layout['configById'].items()}
    assert kinds['Plot']['paths'][0]['value'] == '/fusion/latent_mean.data[:]'
    assert kinds['DiagnosticSummary']['topicToRender'] == '/diagnostics'
