# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag played into the live node, its latents recorded, and recordings compared."""
