# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How messages reach the pipeline on a live robot: what takes long to decode holds up no other."""
