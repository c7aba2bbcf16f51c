# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: an HTML page, written atomically into a folder."""
