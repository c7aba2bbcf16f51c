# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo: a simulated robot loses its sensors one by one, and the fusion goes on."""
