# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model learns from: messages decoded, fused into sets, split and batched."""
