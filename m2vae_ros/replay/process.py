# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Playing a bag as a process: it sets up rclpy, and ends cleanly on Ctrl-C at any moment."""

from __future__ import annotations

from collections.abc import Callable
import os

import rclpy
from rclpy.exceptions import ParameterException
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
        See `Player`.
    ros_arguments
        Arguments of rclpy, as on a command line.

    Raises
    ------
    ValueError
        If an argument is malformed, or an option does not fit the bag.

    """
    if not {'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'} & set(os.environ):
        os.environ.update(large_messages_environment())
    ending.remember()
    try:
        rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # a malformed argument
        raise ValueError(str(error)) from None
    player = None
    try:
        player = Player(bag, options, keys)
        player.play()
    except ExternalShutdownException:
        pass
    except ParameterException as error:
        raise ValueError(str(error)) from None
    except Exception:
        if rclpy.ok():  # otherwise it failed because the context has ended
            raise
    finally:
        if player is not None:
            player.destroy_node()  # so that others know at once that there is no /clock any more
        rclpy.try_shutdown()
