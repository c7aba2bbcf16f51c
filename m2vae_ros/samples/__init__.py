# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples for training and evaluation: decoded, fused, split and batched."""
