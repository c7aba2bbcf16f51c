# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: arguments, parameter files, and the outcome of a replay."""
