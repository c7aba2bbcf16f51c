# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model can do on held-out samples or on a bag: numbers, a page, and latents."""
