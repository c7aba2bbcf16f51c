# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Playing a bag as a process: the context, its end, Ctrl-C at any moment included."""

from __future__ import annotations

from collections.abc import Callable
import os

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions

from m2vae_ros import ending
from m2vae_ros.bags.bag import Bag
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.replay.player import Player, PlayOptions


def play(
    bag: Bag, options: PlayOptions, keys: Callable[[], str], ros_arguments: list[str]
) -> None:
    """
    Play until the end, or until Ctrl-C at any moment.

    Parameters
    ----------
    bag, options, keys
        For `Player`.
    ros_arguments
        For rclpy, as a command line has them.

    Raises
    ------
    ValueError
        If an argument is malformed or the bag has no such topic.

    """
    if not {'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'} & set(os.environ):
        os.environ.update(large_messages_environment())
    ending.remember()
    try:
        rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # a malformed argument
        raise ValueError(str(error)) from None
    try:
        Player(bag, options, keys).play()
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():  # else nothing can be published any more, since the context has ended
            raise
    finally:
        rclpy.try_shutdown()
