# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The functions that docs/mathematics.md names exist."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
import pkgutil
import re

import pytest

from m2vae_ros import vae

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs' / 'mathematics.md'
MODULES = {module.name: import_module(f'm2vae_ros.vae.{module.name}')
           for module in pkgutil.iter_modules(vae.__path__)}
CLASSES = {name: value for module in MODULES.values() for name, value in vars(module).items()
           if isinstance(value, type)}


@pytest.mark.parametrize('name', sorted(set(
    re.findall(r'`([A-Za-z]\w*\.[A-Za-z]\w*(?:\.\w+)?)`', DOCUMENT.read_text()))))
def test_a_name_of_the_document_exists(name):
    first, *rest = name.split('.')
    found = {**MODULES, **CLASSES}[first]
    for attribute in rest:
        assert hasattr(found, attribute), name
        found = getattr(found, attribute)
