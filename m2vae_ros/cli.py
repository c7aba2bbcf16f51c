# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The `m2vae` command and the executables; a command is imported only when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
import sys
from types import ModuleType

from m2vae_ros import __version__, installation

# Command -> its help; its module of `m2vae_ros.commands` has add_arguments(parser) and
# run(arguments) -> exit code.
COMMANDS = {
    'compare': 'compare two recordings of latents',
    'demo': 'a simulated robot whose sensors die and come back, and the fusion node, over DDS',
    'record': 'record a drive of the simulated robot to a bag, with faults on request',
    'evaluate': 'send a bag through a model and report what it can do',
    'play': 'play a bag on its topics, with its time on /clock',
    'sensors': 'propose a sensors file from what a bag holds',
    'train': 'train a model, report its errors on held-out worlds and write it to a file',
    'inspect': 'show what a model file holds and how fast it is on this machine',
}
_FAILURE = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(words: Sequence[str] | None = None) -> int:
    """Run `m2vae` with these words, by default the command line's; return the exit code."""
    given = list(sys.argv[1:] if words is None else words)
    return _explained('m2vae', lambda: _run(given))


def fusion_node() -> int:
    """Run the fusion node; return the exit code."""
    return _explained('fusion_node', lambda: _run_node('m2vae_ros.node.fusion_node'))


def latent_recorder() -> int:
    """Run the recorder of latents; return the exit code."""
    return _explained('latent_recorder', lambda: _run_node('m2vae_ros.replay.recorder'))


def robot_node() -> int:
    """Run the simulated robot; return the exit code."""
    return _explained('robot_node', lambda: _run_node('m2vae_ros.node.robot_node'))


def _run(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='m2vae', description='Sensor fusion that keeps seeing when a sensor dies.',
    )
    parser.add_argument('--version', action='version', version=f'm2vae_ros {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if words[:1] == [name]:
            installation.find_wheels_shares()
            _command(name).add_arguments(command)
    arguments = parser.parse_args(words)
    code: int = _command(arguments.command).run(arguments)
    return code


def _command(name: str) -> ModuleType:
    return import_module(f'm2vae_ros.commands.{name}')


def _run_node(module: str) -> int:
    installation.find_wheels_shares()
    code: int = import_module(module).main()
    return code


def _explained(program: str, run: Callable[[], int]) -> int:
    """Run, and let what the user can mend end in one line on the standard error."""
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
