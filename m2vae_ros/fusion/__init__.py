# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""From messages to latents: synchronizer, engine, pipeline; without rclpy, so also offline."""

from __future__ import annotations

from m2vae_ros.public import lazy_exports

_EXPORTS = {
    'Engine': 'm2vae_ros.fusion.engine',
    'FusedSet': 'm2vae_ros.fusion.synchronizer',
    'Inferred': 'm2vae_ros.fusion.engine',
    'Pipeline': 'm2vae_ros.fusion.pipeline',
    'Result': 'm2vae_ros.fusion.pipeline',
    'Statistics': 'm2vae_ros.fusion.statistics',
    'Synchronizer': 'm2vae_ros.fusion.synchronizer',
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
