# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape of the house: which room may import which, and what every file keeps to."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

from m2vae_ros import cli, installation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'm2vae_ros'

# Who may import whom: a room, and the rooms that its modules may import. Each row names only rows
# above it, so there is no circle. docs/architecture.md shows the same table.
MAY_IMPORT = {
    'specs': '',
    'installation': '',
    'public': '',
    'ending': '',
    'parent': '',
    'aside': '',
    'weights_file': '',
    'vae': 'specs public weights_file',
    'sensors': 'specs public',
    'fusion': 'specs public vae sensors',
    'simulation': 'specs parent sensors',
    'bags': 'specs installation public aside sensors fusion',
    'samples': 'specs parent vae sensors fusion simulation bags',
    'evaluation': 'specs aside vae sensors fusion bags samples',
    'training': 'specs vae samples evaluation',
    'node': 'specs ending vae sensors fusion simulation',
    'replay': 'ending fusion bags node',
    'launching': 'specs weights_file vae bags node',
    'demo': 'specs parent vae sensors simulation evaluation node',
    'commands': 'installation weights_file vae fusion simulation bags samples evaluation training '
                'node replay demo',
    'cli': 'installation ending parent',  # it imports a command by its name, and only when it runs
}
MAY_IMPORT = {room: set(below.split()) for room, below in MAY_IMPORT.items()}
ROS = {*installation.ROS, 'launch', 'launch_ros', 'rosidl_runtime_py'}
# Room -> what none of its modules may need, at import or in a call.
FOREIGN = {
    'vae': {'cv2', *ROS},
    'sensors': {'torch'},
    'fusion': ROS,
    'simulation': {'torch'},
    'bags': {'torch', *ROS},
    'samples': ROS,
    'evaluation': ROS,
    'training': ROS,
}
# Room -> what must not be installed for it to be imported.
ABSENT = {
    'vae': {'cv2', *ROS},
    'sensors': {'torch', *ROS},
    'fusion': ROS,
    'simulation': {'torch', *ROS},
    'bags': {'torch', *ROS},
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


def module_file(dotted):
    """Return the file of a module of the package, or None."""
    path = ROOT.joinpath(*dotted.split('.'))
    return next((p for p in (path.with_suffix('.py'), path / '__init__.py') if p.is_file()), None)


def defined_in(path):
    """Return the names that a module defines, and does not merely import."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id for target in targets for name in ast.walk(target)
                if isinstance(name, ast.Name)
            }
    return names


MODULES = [path for path in sources() if PACKAGE in path.parents]
every_module = pytest.mark.parametrize('path', MODULES, ids=name_of)
every_source = pytest.mark.parametrize('path', sources(), ids=name_of)


def test_every_room_is_known():
    assert {room_of(path) for path in MODULES} == {*MAY_IMPORT, '__init__'}


@every_module
def test_a_room_imports_only_what_the_table_allows(path):
    room = room_of(path)
    own = [name.split('.')[1] for name in imported(path) if name.startswith('m2vae_ros.')]
    rooms = set(own) - {'__version__', room}
    assert rooms <= MAY_IMPORT.get(room, set())


def test_the_table_has_no_circle():
    above = []
    for room, below in MAY_IMPORT.items():
        assert below <= set(above), f'{room} may import only rooms above it in the table'
        above.append(room)


def test_the_documents_table_is_this_one():
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    rows = re.findall(r'^\| `(\w+)` \|[^|]*\|([^|]*)\|$', text, re.MULTILINE)
    assert [(room, set(below.replace(',', ' ').split())) for room, below in rows] == [
        *MAY_IMPORT.items()
    ]


def test_the_table_allows_nothing_that_nobody_needs():
    for room, below in MAY_IMPORT.items():
        used = {
            name.split('.')[1] for path in MODULES if room_of(path) == room
            for name in imported(path) if name.startswith('m2vae_ros.')
        }
        if (PACKAGE / room / '__init__.py').is_file():
            used |= set(re.findall(
                r"'m2vae_ros\.(\w+)", (PACKAGE / room / '__init__.py').read_text()
            ))
        assert below <= used, f'{room} does not import {below - used}'


def test_no_module_imports_itself_by_way_of_others():
    graph = {path: set() for path in MODULES if path.name != '__init__.py'}
    for path in graph:
        for name in imported(path):
            target = module_file(name) or module_file(name.rpartition('.')[0])
            if name.startswith('m2vae_ros.') and target in graph:
                graph[path].add(target)
    TopologicalSorter(graph).prepare()  # raises CycleError


@every_source
def test_a_name_is_imported_from_the_module_that_defines_it(path):
    for name in imported(path):
        home, _, last = name.rpartition('.')
        if name.startswith('m2vae_ros.') and module_file(name) is None:
            assert last in defined_in(module_file(home)), f'{last} is not defined in {home}'


def test_public_names_are_what_their_packages_list():
    pytest.importorskip('rosbags', reason="needs rosbags: pip install 'm2vae_ros[learning]'")
    for room in ('vae', 'sensors', 'fusion', 'bags'):
        package = import_module(f'm2vae_ros.{room}')
        assert all(getattr(package, name) is not None for name in package.__all__)
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match='no attribute'):
            _ = package.nothing_of_this_name


@pytest.mark.parametrize('room', ['vae', 'sensors', 'fusion', 'bags'])
def test_importing_a_room_imports_neither_torch_nor_rosbags(room):
    code = f"import sys, m2vae_ros.{room}; print({{'torch', 'rosbags', 'cv2'}} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT,
    )
    assert result.stdout.strip() == 'set()', result.stderr


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
        capture_output=True, text=True, cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    expected = [path for path in MODULES if room_of(path) == room]
    assert len(result.stdout.split()) == len(expected)


@pytest.mark.parametrize('command', cli.COMMANDS)
def test_every_command_has_its_module_with_options_and_a_run(command):
    tree = ast.parse((PACKAGE / 'commands' / f'{command}.py').read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {'add_arguments', 'run'} <= functions


@every_source
def test_a_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 350
    assert path.stem not in {'utils', 'util', 'helpers', 'helper', 'manager', 'misc', 'common'}


def test_a_folder_is_a_room_and_no_hall():
    for folder in {path.parent for path in MODULES}:
        modules = [path for path in MODULES if path.parent == folder]
        assert len(modules) <= 17, f'{name_of(folder)}: {len(modules)} modules'
        lines = sum(len(path.read_text().splitlines()) for path in modules)
        assert lines <= 3200, f'{name_of(folder)}: {lines} lines'


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
