# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The examples in the docstrings of m2vae_ros.vae: they run, and every public name has one."""

from __future__ import annotations

import doctest
from importlib import import_module
import inspect
import pkgutil

import pytest

from m2vae_ros import vae

MODULES = [
    'm2vae_ros.weights_file',
    *(f'm2vae_ros.vae.{module.name}' for module in pkgutil.iter_modules(vae.__path__)),
]
WITHOUT_EXAMPLE = {
    'CheckpointError': 'an error; its examples are calls that raise it',
    'Likelihood': 'a protocol; GaussianImage and MaskedRange are its examples',
    'Reference': 'a result; see draw_reference',
    'Summary': 'a result; see summarise',
}


def public(module):
    """Return the public classes and functions that a module defines."""
    return {
        name: value for name, value in vars(module).items()
        if not name.startswith('_')
        and (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize('name', MODULES)
def test_the_examples_of_a_module_run(name):
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    for examples in doctest.DocTestFinder().find(import_module(name)):
        runner.run(examples, out=report.append)
    assert runner.failures == 0, ''.join(report)


@pytest.mark.parametrize('module', MODULES)
def test_every_public_name_has_an_example(module):
    finder, found = doctest.DocTestFinder(), import_module(module)
    without = [
        name for name, value in public(found).items()
        if name not in WITHOUT_EXAMPLE
        and not any(tests.examples for tests in finder.find(value, name, found))
    ]
    assert without == []


def test_names_without_an_example_are_still_there():
    defined = {name for module in MODULES for name in public(import_module(module))}
    assert set(WITHOUT_EXAMPLE) <= defined
