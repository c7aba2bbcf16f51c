# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag into the live node with its time, latents out of it, and two recordings held together."""
