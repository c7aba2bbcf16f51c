# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The command `m2vae` and the executables of the nodes."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from m2vae_ros import __version__, cli, installation


def run_python(code):
    """Run a script in a fresh interpreter, from this tree's package."""
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
    )


@pytest.fixture
def command(monkeypatch):
    """Return a function that makes `m2vae demo` run the given function."""
    def install(act):
        module = ModuleType('replacement')
        module.add_arguments = lambda parser: parser.add_argument('--number', type=int, default=0)
        module.run = act
        monkeypatch.setitem(sys.modules, 'm2vae_ros.commands.demo', module)

    return install


def fail_with(error):
    def act(arguments):
        raise error
    return act


def test_help_and_version_import_nothing_heavy():
    script = (
        'import sys\nfrom m2vae_ros.cli import main\n'
        'try:\n    main([{!r}])\nexcept SystemExit:\n    pass\n'
        'print("heavy:", sorted({{"torch", "rclpy", "numpy", "cv2"}} & set(sys.modules)))'
    )
    for option, expected in (('--help', 'train'), ('--version', __version__)):
        result = run_python(script.format(option))
        assert expected in result.stdout
        assert 'heavy: []' in result.stdout, result.stderr


def test_a_command_gets_its_options_and_its_exit_code_is_returned(command):
    command(lambda arguments: arguments.number)
    assert cli.main(['demo', '--number', '3']) == 3


@pytest.mark.parametrize(('error', 'line'), [
    (ValueError('slop 0 s:\n must be above 0'), 'm2vae: error: slop 0 s: must be above 0\n'),
    (FileNotFoundError(2, 'No such file or directory', 'a.bag'),
     'm2vae: error: a.bag: No such file or directory\n'),
    (OSError('the disk is gone'), 'm2vae: error: the disk is gone\n'),
])
def test_an_error_that_the_user_can_fix_ends_in_one_line(command, capsys, error, line):
    command(fail_with(error))
    assert cli.main(['demo']) == 2
    assert capsys.readouterr().err == line


def test_ctrl_c_ends_a_command_as_shells_expect(command, capsys):
    command(fail_with(KeyboardInterrupt()))
    assert cli.main(['demo']) == 130
    assert capsys.readouterr().err == ''


def test_a_bug_of_the_package_keeps_its_traceback(command):
    command(fail_with(ModuleNotFoundError('No module named m2vae_ros.x', name='m2vae_ros.x')))
    with pytest.raises(ModuleNotFoundError):
        cli.main(['demo'])


@pytest.mark.parametrize(('missing', 'call', 'requirement'), [
    ('rclpy', 'cli.fusion_node()', "'ros-rclpy[fastrtps]==9.1.2'"),
    ('rclpy', 'cli.robot_node()', "'ros-rclpy[fastrtps]==9.1.2'"),
    ('torch', 'cli.main(["train", "--help"])', "'torch>=2.1'"),
    ('tqdm', 'cli.main(["train", "--help"])', "'tqdm>=4.57'"),
])
def test_a_missing_module_ends_in_the_command_that_installs_it(missing, call, requirement):
    result = run_python(
        'import os, sys\nos.environ.pop("ROS_DISTRO", None)\n'
        f'sys.modules[{missing!r}] = None\nfrom m2vae_ros import cli\nsys.exit({call})'
    )
    assert result.returncode == 2
    assert f'is not installed for {sys.executable}' in result.stderr
    assert 'pip install' in result.stderr
    assert requirement in result.stderr
    assert result.stderr.count('\n') == 1


def test_with_ros_2_sourced_the_command_installs_from_its_distribution(monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert cli.installation.advice('cv_bridge').endswith('sudo apt install ros-jazzy-cv-bridge')


def test_the_prefix_of_the_wheels_is_added_once(monkeypatch):
    monkeypatch.setattr(cli.installation, 'find_spec', lambda name: object())
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/opt/a')
    for _ in range(2):
        cli.installation.find_wheels_shares()
        assert cli.installation.os.environ['AMENT_PREFIX_PATH'] == f'/opt/a:{sys.prefix}'


@pytest.mark.parametrize(('path', 'program', 'expected'), [
    (True, 'm2vae', 'm2vae train'),
    (False, 'install/m2vae_ros/lib/m2vae_ros/m2vae', 'ros2 run m2vae_ros m2vae train'),
    (False, 'bin/m2vae', 'bin/m2vae train'),
])
def test_a_message_names_m2vae_as_it_can_be_called(path, program, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'm2vae').touch(mode=0o755)
    monkeypatch.setenv('PATH', str(tmp_path / 'bin') if path else '')
    monkeypatch.setattr(sys, 'argv', [program])
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'bin' / 'python'))
    assert installation.command('train') == expected
