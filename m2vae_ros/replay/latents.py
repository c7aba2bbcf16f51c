# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recording of latents: a bag, or what `m2vae evaluate` leaves in the folder of its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from m2vae_ros.bags.bag import Bag
from m2vae_ros.fusion.latent_message import Latent, latent_from_message, LATENT_TYPE

_NAME = '/latent'
_IN_A_REPORT = 'latents'  # the bag that `m2vae evaluate` leaves in its report's folder


@dataclass(frozen=True, eq=False)
class Recording:
    """
    The latents of a bag.

    Parameters
    ----------
    path
        Of the bag.
    latents
        Stamp in nanoseconds -> latent; of several with the same stamp the first.
    repeated
        How many had a stamp that was there already: those of a bag that was played in a loop.

    """

    path: Path
    latents: dict[int, Latent]
    repeated: int


def read_latents(path: Path, topic: str | None = None) -> Recording:
    """
    Read a recording.

    Parameters
    ----------
    path
        A bag, or the folder of a report.
    topic
        Where its latents are; None = the one that ends in ``/latent``, or the only one of their
        type.

    Raises
    ------
    ValueError
        If there is no such topic, or something else is on it, or nothing.

    """
    if (path / _IN_A_REPORT).is_dir():
        path /= _IN_A_REPORT
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
    return Recording(path, latents, repeated)


def _topic_of(bag: Bag, named: str | None) -> str:
    """Return the topic of the latents."""
    candidates = [topic.name for topic in bag.topics.values() if topic.message_type == LATENT_TYPE]
    if named in candidates:
        return str(named)
    if named is not None:
        raise ValueError(
            f'{bag.path}: --topic {named}: topics of type {LATENT_TYPE} are '
            f'{", ".join(candidates) or "none"}'
        )
    likely = [topic for topic in candidates if topic.endswith(_NAME)]
    if len(candidates) == 1 or len(likely) == 1:
        return (likely or candidates)[0]
    raise ValueError(
        f'{bag.path}: which topic holds the latents? Name one of type {LATENT_TYPE} with --topic: '
        f'{", ".join(candidates) or "the bag has none"}'
    )
