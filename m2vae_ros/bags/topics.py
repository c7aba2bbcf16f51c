# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The topics of a bag."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
import re
from typing import Any

from rosbags.interfaces import Connection, QosDurability

from m2vae_ros.bags.storage import Storage


@dataclass(frozen=True)
class Topic:
    """
    A topic of a bag.

    Parameters
    ----------
    name
        Its name as recorded, ``/camera/image_raw``.
    message_type
        ``sensor_msgs/msg/Image``, also in bags of ROS 1; comma-separated if there are several.
    count
        Number of messages.
    latched
        Whether its publisher kept the last message for late subscribers (transient local).

    """

    name: str
    message_type: str
    count: int
    latched: bool = False


def topics_of(storages: Iterable[Storage]) -> dict[str, Topic]:
    """Return name -> topic of all that is in the files, sorted by name."""
    connections = defaultdict(list)
    for storage in storages:
        for connection in storage.connections:
            connections[connection.topic].append(connection)
    return {
        name: Topic(
            name,
            ', '.join(sorted({connection.msgtype for connection in found})),
            sum(connection.msgcount for connection in found),
            any(_is_latched(connection) for connection in found),
        )
        for name, found in sorted(connections.items())
    }


def ros_2_name(topic: str) -> str:
    """
    Return the name that a topic can have in ROS 2; its own, if that is one.

    ROS 1 and drivers that name topics by address record what ROS 2 refuses: a part that starts
    with a digit gets ``n`` before it, and other characters than letters, digits and single
    underscores become underscores.
    """
    words = [re.sub(r'[^A-Za-z0-9]+', '_', word) for word in topic.split('/') if word]
    return '/' * topic.startswith('/') + '/'.join(
        f'n{word}' if word[0].isdigit() else word for word in words
    )


def format_topics(topics: Iterable[Topic]) -> str:
    """Return names and types of topics as text on one line."""
    return ', '.join(f'{topic.name} ({topic.message_type})' for topic in topics) or 'none'


def _is_latched(connection: Connection) -> bool:
    extension: Any = connection.ext
    if hasattr(extension, 'latching'):
        return bool(extension.latching)
    return any(
        profile.durability is QosDurability.TRANSIENT_LOCAL
        for profile in extension.offered_qos_profiles
    )
