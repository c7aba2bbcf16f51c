# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What tests share: messages, bags, models and processes to test with, and references."""
