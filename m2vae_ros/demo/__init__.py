# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The package's main job, to look at: a robot loses its sensors one by one and keeps seeing."""
