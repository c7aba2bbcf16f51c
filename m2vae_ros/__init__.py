# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""M2VAE sensor fusion for ROS 2: keeps seeing when a sensor dies."""

__version__ = '0.1.0'
