# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""One node as a process: from its arguments to its exit code, Ctrl-C at any moment included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
import os
import sys

import rclpy
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from m2vae_ros import ending
from m2vae_ros.fusion.live.decoding_thread import is_decoding

_LONGEST_WAIT = 0.2  # s, until a signal is noticed: it wakes neither executor


def run_node(make: Callable[[], Node], name: str, arguments: Sequence[str] | None) -> int:
    """
    Make a node and serve it until it is told to end; return the process's exit code.

    Parameters
    ----------
    make
        Makes the node. Where its attribute ``failure`` is set, the process ends with exit code 2;
        the node has said why.
    name
        Of the process, in its messages.
    arguments
        Of the command line; None = this process's own.

    """
    # The context must not end in the middle of a callback, as rclpy's own handlers would have it.
    ending.remember()
    code = _run(make, name, arguments)
    if is_decoding():  # an image takes longer than the end may, and Python would abort
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(make: Callable[[], Node], name: str, arguments: Sequence[str] | None) -> int:
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # a parameter file that is not there, a malformed argument
        print(f'{name}: {error}', file=sys.stderr)
        return 2
    node = None
    try:
        if not ending.was_requested():
            node = make()
            serve(node)
            if _has_failed(node):
                return 2
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


def serve(node: Node) -> None:
    """Run a node's callbacks until the process is told to end, or the node has failed."""
    executor = make_executor()
    executor.add_node(node)
    while rclpy.ok() and not ending.was_requested() and not _has_failed(node):
        try:
            executor.spin_once(timeout_sec=_LONGEST_WAIT)
        except InvalidHandle as error:  # of something destroyed: costs what it was about, no more
            node.get_logger().warning(f'one event was lost: {error}', throttle_duration_sec=5.0)


def _has_failed(node: Node) -> bool:
    return bool(getattr(node, 'failure', ''))


def make_executor() -> Executor:
    """Return the executor that costs least where it exists (from Jazzy on)."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def keeps_order() -> bool:
    """Return whether `make_executor` makes one that keeps the order of what arrives."""
    return find_spec('rclpy.experimental') is not None
