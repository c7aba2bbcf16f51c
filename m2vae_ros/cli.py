# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The `m2vae` command and the nodes' executables; only what runs is imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import gc
from importlib import import_module
import sys
from types import ModuleType

from m2vae_ros import __version__, ending, installation, parent

# Command -> its help. The module of that name in `m2vae_ros.commands` has add_arguments(parser)
# and run(arguments) -> exit code.
COMMANDS = {
    'compare': 'compare two recordings of latents',
    'demo': 'run the fusion node and a simulated robot whose sensors die and come back',
    'record': 'record a drive of the simulated robot to a bag, with faults on request',
    'evaluate': 'run a model on a bag and report how well it does',
    'play': 'play a bag on its topics, with its time on /clock',
    'sensors': 'propose a sensors file for the topics of a bag',
    'train': 'train a model on bags or simulated worlds and write it to a file',
    'inspect': 'show what is in a model file and how fast the model is on this machine',
}
_NODES = ('play',)  # commands that a launch file may run: Ctrl-C is their ordinary end
_FAILURE = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: Sequence[str] | None = None) -> int:
    """Run `m2vae` with some arguments, by default the command line's; return the exit code."""
    chosen = list(sys.argv[1:] if argv is None else argv)
    return _exit_code('m2vae', lambda: _run_command(chosen))


def fusion_node() -> int:
    """Run the fusion node; return the exit code."""
    return _exit_code('fusion_node', lambda: _run_node('m2vae_ros.node.fusion_node'))


def latent_recorder() -> int:
    """Run the node that records latents; return the exit code."""
    return _exit_code('latent_recorder', lambda: _run_node('m2vae_ros.replay.recorder'))


def robot_node() -> int:
    """Run the simulated robot; return the exit code."""
    return _exit_code('robot_node', lambda: _run_node('m2vae_ros.node.robot_node'))


def _run_command(argv: list[str]) -> int:
    if argv[:1] and argv[0] in _NODES:
        _begin_node()
    parser = argparse.ArgumentParser(
        prog='m2vae', description='Sensor fusion that keeps seeing when a sensor dies.',
    )
    parser.add_argument('--version', action='version', version=f'm2vae_ros {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if argv[:1] == [name]:
            installation.find_wheels_shares()
            _command(name).add_arguments(command)
    arguments = parser.parse_args(argv)
    code: int = _command(arguments.command).run(arguments)
    if arguments.command in _NODES:
        ending.ignore()
    return code


def _command(name: str) -> ModuleType:
    return import_module(f'm2vae_ros.commands.{name}')


def _begin_node() -> None:
    ending.end_at_once()
    parent.end_with_launch()


def _run_node(module: str) -> int:
    _begin_node()
    installation.find_wheels_shares()
    main: Callable[[], int] = import_module(module).main
    gc.freeze()  # at its end Python would search all of torch for garbage, for half a second
    code = main()
    ending.ignore()
    return code


def _exit_code(program: str, run: Callable[[], int]) -> int:
    """
    Run, and return the exit code.

    An error that the user can fix ends in one line on the standard error.
    """
    try:
        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        advice = installation.advice(error.name or '')
        if advice is None:
            raise
        message = advice
    except OSError as error:
        known = error.filename is not None and error.strerror is not None
        message = f'{error.filename}: {error.strerror}' if known else str(error)
    except ValueError as error:
        message = str(error)
    print(f'{program}: error: {" ".join(message.split())}', file=sys.stderr)
    return _FAILURE


if __name__ == '__main__':
    sys.exit(main())
