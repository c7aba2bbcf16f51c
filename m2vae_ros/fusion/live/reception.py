# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
From messages to sets on a live robot, with the same sets as offline whatever decoding takes.

The synchronizer needs stamps and arrival times only. So a message that takes long to decode gets
its place in the synchronizer when it arrives, with its header's stamp, and is decoded in a thread
of its sensor meanwhile. A set that it is part of waits for it, at most until ``max_wait`` after
its arrival, and is then fused without it; all other messages are received as if decoding took no
time.

A sensor whose last message was invalid, or was not decoded by then, may not be relied on, nor one
of which many are not decoded at all: its next message gets its place when it has been decoded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
import time
from typing import Any

from m2vae_ros.fusion.live.decoding_thread import Decoding, DecodingThread
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.fusion.synchronizer import FusedSet
from m2vae_ros.sensors.kinds import takes_long
from m2vae_ros.sensors.messages import InvalidMessage, stamp_and_frame
from m2vae_ros.specs import Measurement

#: Why a valid message was in no set, besides the synchronizer's reasons:
NOT_DECODED = 'not_decoded'  # a newer one of its sensor came before its decoding began
DECODED_LATE = 'decoded_late'  # its set did not wait so long, or it was a second later

_LONGEST_USE_NS = 1_000_000_000  # after arrival; the synchronizer would blame the clock
_DURATIONS = 20  # newest decodings, of which the longest is told
_MOST_SKIPPED, _OF = 2, 8  # newest messages, that a sensor which is relied on has not decoded


@dataclass(frozen=True, eq=False)
class Delivery:
    """
    A fused set on its way to inference.

    Parameters
    ----------
    fused_set
        The set, of measurements.
    entered_ns
        What `Reception` was given with the message, or the poll, that completed it.

    """

    fused_set: FusedSet
    entered_ns: int


class _Place(Decoding):
    """
    A message that is being decoded, in its place among the measurements.

    Parameters
    ----------
    sensor, message
        The message and its sensor.
    arrived_ns, entered_ns
        When it arrived, on the clock of ``now_ns`` and on the caller's.
    is_taken
        Whether the synchronizer has it already.

    Attributes
    ----------
    content
        The measurement that is in its place, if one is.
    is_settled
        Whether that is final.

    """

    def __init__(
        self, sensor: str, message: Any, arrived_ns: int, entered_ns: int, *, is_taken: bool
    ) -> None:
        super().__init__(message)
        self.sensor = sensor
        self.arrived_ns = arrived_ns
        self.entered_ns = entered_ns
        self.is_taken = is_taken
        self.content: Measurement | None = None
        self.is_settled = False

    def settle(self, content: Measurement | None) -> None:
        """Decide what is in its place, for good."""
        self.content, self.is_settled = content, True


class Reception:
    """
    Receive messages in the thread of the callbacks, and decode beside it what takes long.

    Parameters
    ----------
    pipeline
        Decodes and synchronises.
    decoded
        Called in another thread when something was decoded: `poll` is due.
    failed
        Called, by `receive` and `poll`, with what decoding raised besides ``InvalidMessage``.
    decodes_beside
        Whether a message that takes long may be decoded beside others. None of them is left out
        where it may not: all is decoded when it arrives, as offline.

    """

    def __init__(
        self,
        pipeline: Pipeline,
        decoded: Callable[[], None],
        failed: Callable[[Exception], None],
        decodes_beside: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pipeline = pipeline
        self._decoded = decoded
        self._failed = failed
        self._decodes_beside = decodes_beside
        self._threads: dict[str, DecodingThread] = {}
        self._in_hand: list[_Place] = []  # of the threads, in order of arrival
        self._held: deque[Delivery] = deque()  # as the synchronizer emitted them
        names = pipeline.engine.model.names
        self._unreliable: set[str] = set()
        self._skipped = {name: deque([False], maxlen=_OF) for name in names}
        self._undecoded: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._seconds: dict[str, deque[float]] = {
            name: deque(maxlen=_DURATIONS) for name in names
        }

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""
        deadlines = [self._pipeline.next_deadline_ns]
        if self._held:
            deadlines += [
                place.arrived_ns + self._max_wait_ns for place in _awaited(self._held[0])
            ]
        return min((due for due in deadlines if due is not None), default=None)

    @property
    def undecoded(self) -> dict[str, dict[str, int]]:
        """Sensor -> reason -> messages that were in no set because of their decoding."""
        return {name: dict(counts) for name, counts in self._undecoded.items()}

    def longest_decoding(self, sensor: str) -> float | None:
        """Return the seconds that decoding took at most, of late; None if it was done at once."""
        return max(self._seconds[sensor], default=None)

    def receive(
        self, sensor: str, message: Any, now_ns: int, entered_ns: int = 0
    ) -> list[Delivery]:
        """
        Take a message; return the sets that can be fused now, oldest first.

        Parameters
        ----------
        sensor, message, now_ns
            See `Pipeline.receive`.
        entered_ns
            For the deliveries.

        """
        self._collect(now_ns)
        stamp_ns = self._stamp_of(message)
        if stamp_ns is None:
            self._hold(self._pipeline.receive(sensor, message, now_ns), entered_ns)
        else:
            place = _Place(
                sensor, message, now_ns, entered_ns, is_taken=sensor not in self._unreliable
            )
            self._hand_in(place)
            self._hold(
                self._pipeline.accept(sensor, stamp_ns, place, now_ns) if place.is_taken
                else self._pipeline.poll(now_ns), entered_ns,
            )
        return self._release(now_ns)

    def poll(self, now_ns: int, entered_ns: int = 0) -> list[Delivery]:
        """Return the sets that can be fused now, oldest first."""
        self._collect(now_ns)
        self._hold(self._pipeline.poll(now_ns), entered_ns)
        return self._release(now_ns)

    def stop(self, timeout: float) -> bool:
        """
        Drop what is being decoded and end the threads.

        Returns
        -------
        Whether all have ended within some seconds; the others end after the message in hand.

        """
        end = time.monotonic() + timeout
        for thread in self._threads.values():
            thread.stop()
        for place in self._in_hand:
            place.settle(None)
        self._in_hand.clear()
        self._held.clear()
        ended = [thread.join(end - time.monotonic()) for thread in self._threads.values()]
        return all(ended)

    @property
    def _max_wait_ns(self) -> int:
        return round(self._pipeline.synchronizer.options.max_wait * 1e9)

    def _stamp_of(self, message: Any) -> int | None:
        """Return the stamp of a message that is to be decoded beside others, else None."""
        if not self._decodes_beside() or not takes_long(message):
            return None
        try:
            return stamp_and_frame(message)[0]
        except InvalidMessage:  # which decoding will tell at once
            return None

    def _hand_in(self, place: _Place) -> None:
        sensor = place.sensor
        if sensor not in self._threads:
            self._threads[sensor] = DecodingThread(
                sensor, partial(self._pipeline.decode, sensor), self._decoded
            )
        self._in_hand.append(place)
        replaced = self._threads[sensor].put(place)
        if isinstance(replaced, _Place):
            replaced.settle(None)
            self._in_hand.remove(replaced)
            self._undecoded[sensor][NOT_DECODED] += 1
            self._skipped[sensor].append(True)
            if sum(self._skipped[sensor]) > _MOST_SKIPPED:
                self._unreliable.add(sensor)

    def _collect(self, now_ns: int) -> None:
        """Put what has been decoded into its place."""
        for place in [place for place in self._in_hand if place.is_done]:
            self._in_hand.remove(place)
            self._seconds[place.sensor].append(place.seconds)
            self._judge(place, now_ns)
            if isinstance(place.error, InvalidMessage):
                self._pipeline.reject(place.sensor, place.error, accepted=place.is_taken)
            elif place.error is not None:
                self._failed(place.error)
            elif place.is_settled:
                self._undecoded[place.sensor][DECODED_LATE] += 1
            if not place.is_settled:
                place.settle(place.measurement)
                if not place.is_taken and place.measurement is not None:
                    self._accept_late(place, place.measurement, now_ns)

    def _accept_late(self, place: _Place, measurement: Measurement, now_ns: int) -> None:
        """Give a measurement its place now that it is decoded."""
        others = set(self._pipeline.live(now_ns)) - {place.sensor}
        if others and now_ns - place.arrived_ns > _LONGEST_USE_NS:
            self._undecoded[place.sensor][DECODED_LATE] += 1
            return
        self._hold(
            self._pipeline.accept(place.sensor, measurement.stamp_ns, measurement, now_ns),
            place.entered_ns,
        )

    def _judge(self, place: _Place, now_ns: int) -> None:
        """Decide whether a sensor may be relied on to be decoded in time."""
        in_time = 0 <= now_ns - place.arrived_ns <= self._max_wait_ns
        skipped = self._skipped[place.sensor]
        skipped.append(False)
        if place.measurement is not None and in_time and sum(skipped) <= _MOST_SKIPPED:
            self._unreliable.discard(place.sensor)
        else:
            self._unreliable.add(place.sensor)

    def _hold(self, fused_sets: Sequence[FusedSet], entered_ns: int) -> None:
        self._held += [Delivery(fused_set, entered_ns) for fused_set in fused_sets]

    def _release(self, now_ns: int) -> list[Delivery]:
        """Return the held sets that wait for no decoding any more."""
        released = []
        while self._held:
            awaited = _awaited(self._held[0])
            if any(0 <= now_ns - place.arrived_ns < self._max_wait_ns for place in awaited):
                break
            for place in awaited:
                place.settle(None)
                self._unreliable.add(place.sensor)
            delivery = self._held.popleft()
            fused_set = self._pipeline.settled(delivery.fused_set, _content)
            if fused_set is not None:
                released.append(Delivery(fused_set, delivery.entered_ns))
        return released


def _awaited(delivery: Delivery) -> list[_Place]:
    """Return what is still being decoded of a set."""
    return [
        item for item in delivery.fused_set.items.values()
        if isinstance(item, _Place) and not item.is_settled
    ]


def _content(item: Any) -> Any:
    """Return the measurement of a set's item, None if it came to nothing."""
    return item.content if isinstance(item, _Place) else item
