# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag in the order of their stamps, as training reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.stamps import header_stamps
from m2vae_ros.fusion.playback import Arrival


def by_stamp(
    arrivals: Iterator[Arrival], bag: Bag, topics: Mapping[str, str], offsets: Mapping[str, float]
) -> Iterator[Arrival]:
    """
    Yield messages in the order of their stamps, with the corrected stamp as time of arrival.

    The stamps are read first, so no more messages are held than are out of order.

    Parameters
    ----------
    arrivals
        The messages of these topics, in the order of receipt.
    bag
        The open recording.
    topics
        Sensor -> its topic in the bag.
    offsets
        Sensor -> seconds that its stamps are ahead.

    """
    sensors = {topic: sensor for sensor, topic in topics.items()}
    ahead = {
        topic: round(offsets.get(sensor, 0.0) * 1e9) for topic, sensor in sensors.items()
    }
    read = np.array([
        (stamp - ahead[topic], receive_ns)
        for topic, receive_ns, stamp in header_stamps(bag, list(sensors))
    ], np.int64).reshape(-1, 2)
    held: dict[int, Arrival] = {}
    turns = iter(np.lexsort([np.arange(len(read)), read[:, 1], read[:, 0]]).tolist())
    turn = next(turns, None)
    for number, arrival in enumerate(arrivals):
        held[number] = arrival
        while turn in held:
            sensor, _, message = held.pop(turn)
            yield sensor, int(read[turn, 0]), message
            turn = next(turns, None)
