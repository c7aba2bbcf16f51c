# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The stamps in the headers of a bag's messages, read without the rest of the messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import struct

from m2vae_ros.bags.bag import Bag

_ENCAPSULATION_BYTES = 4  # before the message; the second byte is 1 where it is little-endian


def header_stamps(bag: Bag, topics: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """
    Yield topic, time of receipt and stamp, nanoseconds, in the order of receipt.

    Parameters
    ----------
    bag
        The open recording.
    topics
        Topics whose messages begin with a header, as those of all sensors do.

    """
    for topic, receive_ns, data in bag.serialized(topics):
        order = '<' if data[1] & 1 else '>'
        seconds, nanoseconds = struct.unpack_from(f'{order}iI', data, _ENCAPSULATION_BYTES)
        yield topic, receive_ns, seconds * 10**9 + nanoseconds
