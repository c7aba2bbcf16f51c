# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The multi-modal variational autoencoder: objectives, networks, checkpoints; torch, no ROS."""
