# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is said twice about the package is the same, and what it needs is declared."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
import re
import runpy
import sys
from xml.etree import ElementTree

import pytest
import setuptools

import m2vae_ros
from m2vae_ros.installation import LEARNING, ROS, RUNTIME

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / '.ci' / 'requirements.lock').read_text()
PIN = re.compile(r'[a-z0-9-]+==[a-z0-9.]+( ; .+)?')
# Imported by nothing but the launch files, which ros2 launch runs: no pip package.
LAUNCH = {'launch': 'launch', 'launch_ros': 'launch_ros'}
# Module -> rosdep key; for NO_ROSDEP there is none, docs/installation.md says what to do.
ROSDEP = {
    'cv2': 'python3-opencv', 'jinja2': 'python3-jinja2', 'markupsafe': 'python3-jinja2',
    'matplotlib': 'python3-matplotlib', 'numpy': 'python3-numpy', 'rich': 'python3-rich',
    'rosbags': 'python3-rosbags-pip', 'tensorboardX': 'python3-tensorboardX-pip',
    'torch': 'python3-torch',
    'tqdm': 'python3-tqdm', 'yaml': 'python3-yaml',
    **{name: name for name in {*ROS, *LAUNCH}},
}
NO_ROSDEP = {'safetensors', 'lightning'}


@pytest.fixture
def declared(monkeypatch):
    """Return the arguments that setup.py calls setup with."""
    calls = []
    monkeypatch.setattr(setuptools, 'setup', lambda **arguments: calls.append(arguments))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / 'setup.py'))
    return calls[0]


@pytest.fixture
def manifest():
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def needed(folder):
    """Return the packages that are neither Python's nor ours and that a folder's files import."""
    packages = set()
    for path in (ROOT / folder).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                packages |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                packages.add(node.module.split('.')[0])
    return packages - set(sys.stdlib_module_names) - {'m2vae_ros'}


def test_manifest_setup_and_package_agree(declared, manifest):
    assert manifest.findtext('name') == declared['name'] == 'm2vae_ros'
    assert manifest.findtext('version') == declared['version'] == m2vae_ros.__version__
    assert manifest.findtext('license') == declared['license'] == 'Apache-2.0'
    assert manifest.findtext('description') == declared['description']
    for role in ('maintainer', 'author'):
        assert manifest.findtext(role) == declared[role]
        assert manifest.find(role).get('email') == declared[f'{role}_email']
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert (ROOT / 'resource' / declared['name']).is_file()


def test_the_changelog_begins_with_this_version_or_the_next():
    # As catkin_test_changelog wants it: what is not yet released stands under Forthcoming.
    first = re.search(r'^(.+)\n-+$', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)
    released = rf'{re.escape(m2vae_ros.__version__)} \(\d{{4}}-\d\d-\d\d\)'
    assert re.fullmatch(rf'Forthcoming|{released}', first[1])


def test_every_launch_and_config_file_is_installed_where_it_lies_here(declared):
    installed = {file: directory for directory, files in declared['data_files'] for file in files}
    for folder in ('launch', 'config'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                relative = path.relative_to(ROOT)
                expected = str(Path('share', 'm2vae_ros', relative.parent))
                assert installed.get(str(relative)) == expected
    assert installed['package.xml'] == 'share/m2vae_ros'
    marker = installed['resource/m2vae_ros']
    assert marker == 'share/ament_index/resource_index/packages'


def test_all_modules_and_no_tests_are_installed(declared):
    rooms = {path.parent for path in (ROOT / 'm2vae_ros').rglob('__init__.py')}
    assert set(declared['packages']) == {
        '.'.join(room.relative_to(ROOT).parts) for room in rooms
    }


def test_every_executable_can_be_called(declared):
    for line in declared['entry_points']['console_scripts']:
        _, target = line.split(' = ')
        module, function = target.split(':')
        assert callable(getattr(import_module(module), function))


def test_what_is_imported_is_what_the_user_is_told_to_install():
    assert needed('m2vae_ros') <= {*RUNTIME, *LEARNING, *ROS}
    assert needed('launch') <= {*RUNTIME, *ROS, *LAUNCH}


def test_setup_asks_for_the_versions_that_the_user_is_told_to_install(declared):
    assert {*RUNTIME.values(), 'setuptools'} == set(declared['install_requires'])
    assert set(LEARNING.values()) == set(declared['extras_require']['learning'])


def test_rosdep_is_told_of_all_it_can_bring(manifest):
    keys = {element.text for element in manifest.iter('exec_depend')}
    imported = needed('m2vae_ros') | needed('launch')
    assert imported <= {*ROSDEP, *NO_ROSDEP}
    assert {ROSDEP[name] for name in imported - NO_ROSDEP} <= keys


def test_the_lock_pins_everything_that_setup_asks_for_and_names_no_address(declared):
    lines = [line for line in LOCK.splitlines() if not line.startswith('#')]
    assert all(PIN.fullmatch(line) for line in lines)
    assert '://' not in LOCK
    assert '@' not in LOCK
    pinned = {line.split('==')[0] for line in lines}
    asked = [*declared['install_requires'], *ROS.values()]
    asked += [
        name for extra, names in declared['extras_require'].items()
        if extra != 'benchmarks'  # run by hand, in an environment of their own
        for name in names
    ]
    names = {re.split(r'[=<>\[]', name)[0].lower() for name in asked}
    assert names <= pinned
