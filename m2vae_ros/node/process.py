# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""One node as a process: from its arguments to its exit code, Ctrl-C at any moment included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
import signal
import sys

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


def run_node(make: Callable[[], Node], name: str, arguments: Sequence[str] | None) -> int:
    """
    Make a node and serve it until it is told to end; return the process's exit code.

    Parameters
    ----------
    make
        Makes the node.
    name
        Of the process in what it says.
    arguments
        Of the command line; None = this process's own.

    """
    # rclpy's own handler shuts the context down. Python's would also raise at any point within
    # rclpy, whose half-made objects then complain with a traceback.
    signal.signal(signal.SIGINT, leave_to_rclpy)
    try:
        rclpy.init(args=arguments)
    except RuntimeError as error:  # a parameter file that is not there, a malformed argument
        print(f'{name}: {error}', file=sys.stderr)
        return 2
    node = None
    try:
        node = make()
        executor = make_executor()
        executor.add_node(node)
        while rclpy.ok():
            executor.spin_once(timeout_sec=1.0)
    except ExternalShutdownException:
        pass
    except (ParameterException, ValueError) as error:
        rclpy.logging.get_logger(name).fatal(str(error))
        return 2
    except Exception:
        if rclpy.ok():  # else nothing can be made any more, since the context has ended
            raise
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def make_executor() -> Executor:
    """Return the executor that costs least where it exists (from Kilted on)."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def keeps_order() -> bool:
    """Return whether `make_executor` makes one that keeps the order of what arrives."""
    return find_spec('rclpy.experimental') is not None


def leave_to_rclpy(number: int, frame: object) -> None:
    """Handle a signal by nothing of Python's: rclpy's own handler ends the context."""
