# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings of latents: a bag, or the folder of a report of `m2vae evaluate`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
import json
from pathlib import Path

from m2vae_ros.bags.bag import Bag
from m2vae_ros.fusion.latent_message import Latent, latent_from_message, LATENT_TYPE, MAX_SENSORS

_TOPIC_ENDING = '/latent'
_BAG_IN_REPORT = 'latents'  # the bag that `m2vae evaluate` writes in the folder of its report
_METRICS_IN_REPORT = 'metrics.json'


@dataclass(frozen=True, eq=False)
class Recording:
    """
    The latents of a bag.

    Parameters
    ----------
    path
        The bag.
    latents
        Stamp in nanoseconds -> latent; of several with the same stamp the first.
    repeated
        Latents left out because an earlier one has the same stamp, as in a bag played in a loop.
    names
        Names of the model's sensors, where the folder of a report tells them; else empty.

    """

    path: Path
    latents: dict[int, Latent]
    repeated: int
    names: tuple[str, ...] = ()

    def sets_of(self) -> Counter[int]:
        """Return number of a sensor -> how many sets it was fused in."""
        masks = Counter(latent.sensors for latent in self.latents.values())
        return Counter({
            sensor: count for sensor in range(MAX_SENSORS)
            if (count := sum(n for mask, n in masks.items() if mask >> sensor & 1))
        })


def read_latents(path: Path, topic: str | None = None) -> Recording:
    """
    Read a recording.

    Parameters
    ----------
    path
        A bag, or the folder of a report.
    topic
        Topic of the latents; None = the one that ends in ``/latent``, or the only one of their
        type.

    Raises
    ------
    ValueError
        If there is no such topic, or it has other messages than latents, or none.

    """
    names: tuple[str, ...] = ()
    if (path / _BAG_IN_REPORT).is_dir():
        names = _sensors_in(path / _METRICS_IN_REPORT)
        path /= _BAG_IN_REPORT
    latents: dict[int, Latent] = {}
    repeated = 0
    with Bag(path) as bag:
        chosen = _topic_of(bag, topic)
        for received in bag.messages([chosen]):
            try:
                latent = latent_from_message(received.message)
            except ValueError as error:
                raise ValueError(
                    f'{path}: topic {chosen} holds no latents: {error}; name another with --topic'
                ) from None
            if latent.stamp_ns in latents:
                repeated += 1
            else:
                latents[latent.stamp_ns] = latent
    if not latents:
        raise ValueError(f'{path}: topic {chosen} has no messages: nothing was recorded')
    return Recording(path, latents, repeated, names)


def _sensors_in(metrics: Path) -> tuple[str, ...]:
    """Return the names of the model's sensors in the metrics of a report."""
    try:
        return tuple(str(each['name']) for each in json.loads(metrics.read_text())['sensors'])
    except (OSError, ValueError, KeyError, TypeError):  # names are a convenience
        return ()


def _topic_of(bag: Bag, topic: str | None) -> str:
    """Return the topic of the latents in a bag."""
    candidates = [info.name for info in bag.topics.values() if info.message_type == LATENT_TYPE]
    if topic in candidates:
        return str(topic)
    if topic is not None:
        raise ValueError(
            f'{bag.path}: --topic {topic}: must be one of the topics of type {LATENT_TYPE}: '
            f'{", ".join(candidates) or "the bag has none"}'
        )
    named_latent = [name for name in candidates if name.endswith(_TOPIC_ENDING)]
    if len(candidates) == 1 or len(named_latent) == 1:
        return (named_latent or candidates)[0]
    raise ValueError(
        f'{bag.path}: which topic holds the latents? Name one of type {LATENT_TYPE} with --topic: '
        f'{", ".join(candidates) or "the bag has none"}'
    )
