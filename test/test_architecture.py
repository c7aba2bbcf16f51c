# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape of the house: which room may import which, and what every file keeps to."""

from __future__ import annotations

import ast
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

from m2vae_ros import cli, installation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'm2vae_ros'

# Room -> the rooms it stands on. The cli names its commands' modules as texts and imports them
# only when they run; demo and replay are such commands, and the rooms that stand above the node.
STANDS_ON = {
    'specs': set(),
    'installation': set(),
    'vae': {'specs'},
    'sensors': {'specs'},
    'fusion': {'specs', 'vae', 'sensors'},
    'simulation': {'specs', 'sensors'},
    'learning': {'specs', 'vae', 'sensors', 'fusion', 'simulation'},
    'node': {'specs', 'vae', 'sensors', 'fusion', 'simulation'},
    'replay': {'specs', 'vae', 'sensors', 'fusion', 'simulation', 'learning', 'node'},
    'demo': {'specs', 'vae', 'sensors', 'fusion', 'simulation', 'learning', 'node'},
    'cli': {'installation'},
}
ROS = {*installation.ROS, 'launch', 'launch_ros', 'rosidl_runtime_py'}
# Room -> what none of its modules may need, at import or in a call.
FOREIGN = {
    'vae': {'cv2', *ROS},
    'sensors': {'torch'},
    'fusion': ROS,
    'simulation': {'torch'},
    'learning': ROS,
}
# Room -> what must not be installed for it to be imported.
ABSENT = {
    'vae': {'cv2', *ROS},
    'sensors': {'torch', *ROS},
    'fusion': ROS,
    'simulation': {'torch', *ROS},
}
IMPORT_WITHOUT = """
from importlib import import_module
from pkgutil import walk_packages
import sys
room, *absent = sys.argv[1:]
sys.modules.update(dict.fromkeys(absent))
package = import_module(room)
print(room, *[
    import_module(module.name).__name__ for module in walk_packages(package.__path__, room + '.')
])
"""
FOLDERS = ('m2vae_ros', 'launch', 'config', 'resource', 'test', 'docs', 'benchmarks', '.ci')
TOP = {*FOLDERS, 'package.xml', 'setup.py', 'setup.cfg', 'README.md', 'LICENSE', 'CHANGELOG.rst',
       'CONTRIBUTING.md', 'Makefile', '.gitignore'}
HEADER = '# Copyright 2026 Seed f8673997 maintainers\n# SPDX-License-Identifier: Apache-2.0\n'


def files():
    """Return every file of the tree that is not made from others."""
    found = [ROOT / name for name in TOP if (ROOT / name).is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob('*') if path.is_file()]
    return sorted(path for path in found if '__pycache__' not in path.parts)


def sources():
    return [path for path in files() if path.suffix == '.py']


def name_of(path):
    return str(path.relative_to(ROOT))


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def imported(path):
    """Return all modules that a file imports, also within functions, as dotted names."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{name_of(path)}: imports are absolute'
            names += [f'{node.module}.{alias.name}' for alias in node.names]
    return names


MODULES = [path for path in sources() if PACKAGE in path.parents]
every_module = pytest.mark.parametrize('path', MODULES, ids=name_of)
every_source = pytest.mark.parametrize('path', sources(), ids=name_of)


def test_every_room_is_known():
    assert {room_of(path) for path in MODULES} == {*STANDS_ON, '__init__'}


@every_module
def test_imports_run_one_way(path):
    room = room_of(path)
    own = [name.split('.')[1] for name in imported(path) if name.startswith('m2vae_ros.')]
    rooms = set(own) - {'__version__', room}
    assert rooms <= STANDS_ON.get(room, set())


def test_no_two_rooms_stand_on_each_other():
    for room, below in STANDS_ON.items():
        assert all(room not in STANDS_ON[other] for other in below)


@every_module
def test_a_room_needs_nothing_foreign_to_it(path):
    packages = {name.split('.')[0] for name in imported(path)}
    assert not packages & FOREIGN.get(room_of(path), set())


@every_module
def test_only_nodes_need_rclpy(path):
    if room_of(path) not in ('node', 'replay'):
        assert 'rclpy' not in {name.split('.')[0] for name in imported(path)}


def test_specs_need_numpy_only():
    packages = {name.split('.')[0] for name in imported(PACKAGE / 'specs.py')}
    assert packages - set(sys.stdlib_module_names) == {'numpy'}


@pytest.mark.parametrize('room', ABSENT)
def test_a_room_is_imported_where_ros_is_not_installed(room):
    result = subprocess.run(
        [sys.executable, '-c', IMPORT_WITHOUT, f'm2vae_ros.{room}', *sorted(ABSENT[room])],
        capture_output=True, text=True, cwd=ROOT, timeout=120,
    )
    assert result.returncode == 0, result.stderr
    expected = [path for path in MODULES if room_of(path) == room]
    assert len(result.stdout.split()) == len(expected)


@pytest.mark.parametrize('command', cli.COMMANDS)
def test_every_command_has_its_module_with_options_and_a_run(command):
    module, _ = cli.COMMANDS[command]
    tree = ast.parse((ROOT / Path(*module.split('.')).with_suffix('.py')).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {'add_arguments', 'run'} <= functions


@every_source
def test_a_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 350
    assert path.stem not in {'utils', 'util', 'helpers', 'helper', 'manager', 'misc', 'common'}


@every_source
def test_a_file_says_whose_it_is_and_how_it_is_licensed(path):
    assert path.read_text().startswith(HEADER)


def test_no_file_holds_a_path_or_an_address_of_one_machine():
    folders = '|'.join(['home', 'root', 'work', 'Users', 'mnt'])
    strange = re.compile(rb'(?<![\w.~$})])/(?:' + folders.encode() + rb')/\w')
    found = {name_of(path) for path in files() if strange.search(path.read_bytes())}
    assert found == set()


def test_the_top_level_holds_only_what_a_user_looks_for():
    git = shutil.which('git')
    if git is None or not (ROOT / '.git').exists():
        pytest.skip('needs git and a checkout, to tell the tracked files: git clone')
    listed = subprocess.run(
        [git, '-c', 'safe.directory=*', 'ls-files', '-z'], cwd=ROOT, capture_output=True,
        text=True, check=True,
    ).stdout
    assert {name.split('/')[0] for name in listed.split('\0') if name} <= TOP
