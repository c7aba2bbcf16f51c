# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae play`: play a bag on its topics, with its time on /clock, without ros2 bag."""

from __future__ import annotations

import argparse
import os.path
from pathlib import Path

from m2vae_ros.bags.bag import Bag
from m2vae_ros.replay.keyboard import pressed_keys
from m2vae_ros.replay.pace import checked_rate
from m2vae_ros.replay.player import PlayOptions
from m2vae_ros.replay.process import play


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    default = PlayOptions()
    parser.add_argument('bag', type=Path, metavar='BAG', help='folder or file of a bag')
    parser.add_argument(
        '-r', '--rate', type=float, default=default.rate,
        help='speed, 2 plays twice as fast; 0.001 to 1000 (default %(default)s)',
    )
    parser.add_argument('-l', '--loop', action='store_true', help='start again at the end')
    parser.add_argument(
        '--start-offset', type=float, default=default.start_offset, metavar='SECONDS',
        help='skip this much of the beginning',
    )
    parser.add_argument(
        '-p', '--pause', action='store_true',
        help='start paused; the space key or the service ~/resume continues',
    )
    parser.add_argument(
        '--topics', nargs='+', default=[], metavar='TOPIC', help='play only these',
    )
    parser.add_argument(
        '--wait-for', nargs='*', metavar='TOPIC',
        help='start when each of these topics has a subscriber; without any, each topic that is '
        'played',
    )
    parser.add_argument(
        '-m', '--remap', nargs='+', default=[], metavar='FROM:=TO', help='rename topics',
    )
    parser.add_argument(
        '--ros-args', nargs=argparse.REMAINDER, default=[], metavar='...',
        help='arguments for rclpy',
    )


def run(arguments: argparse.Namespace) -> int:
    """Play; return the exit code."""
    checked_rate(arguments.rate)
    for rule in arguments.remap:
        if ':=' not in rule:
            raise ValueError(f'--remap {rule}: must be FROM:=TO')
    options = PlayOptions(
        rate=arguments.rate, loop=arguments.loop, start_offset=arguments.start_offset,
        paused=arguments.pause, topics=arguments.topics, wait_for=arguments.wait_for,
    )
    rules = [word for rule in arguments.remap for word in ('-r', rule)]
    with Bag(os.path.expanduser(arguments.bag)) as bag, pressed_keys() as keys:
        play(bag, options, keys, ['--ros-args', *rules, *arguments.ros_args])
    return 0
