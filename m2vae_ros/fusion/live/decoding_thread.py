# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A thread that decodes the messages of one sensor, and its mailbox, in which the newest wins."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from m2vae_ros.specs import Measurement

_NAME = 'decoding '  # of the threads


class Decoding:
    """
    A message on its way to a measurement.

    Parameters
    ----------
    message
        The message, until it is decoded.

    Attributes
    ----------
    measurement
        What was decoded, if it could be.
    error
        What was raised instead.
    is_done
        Whether one of the two is there.
    seconds
        How long it took.

    """

    def __init__(self, message: Any) -> None:
        self.message = message
        self.measurement: Measurement | None = None
        self.error: Exception | None = None
        self.is_done = False
        self.seconds = 0.0

    def run(self, decode: Callable[[Any], Measurement]) -> None:
        """Decode; what is raised is kept in ``error``."""
        begin = time.perf_counter()
        try:
            self.measurement = decode(self.message)
        except Exception as error:  # whoever handed it in is told
            self.error = error
        self.seconds = time.perf_counter() - begin
        self.message = None
        self.is_done = True


class DecodingThread:
    """
    Decode one message after the other; of those that wait meanwhile only the newest is decoded.

    Parameters
    ----------
    name
        Of the sensor.
    decode
        Returns the measurement in a message.
    finished
        Called in the thread after each message, unless the thread was told to stop.

    """

    def __init__(
        self, name: str, decode: Callable[[Any], Measurement], finished: Callable[[], None]
    ) -> None:
        self._decode = decode
        self._finished = finished
        self._changed = threading.Condition()
        self._waiting: Decoding | None = None
        self._is_stopped = False
        # An image may keep it for seconds, and no process waits so long for its end.
        self._thread = threading.Thread(target=self._run, name=_NAME + name, daemon=True)
        self._thread.start()

    def put(self, decoding: Decoding) -> Decoding | None:
        """Hand in a message; return the one that it replaces, which will not be decoded."""
        with self._changed:
            replaced, self._waiting = self._waiting, decoding
            self._changed.notify()
        return replaced

    def stop(self) -> None:
        """Let the thread end after the message in hand; `finished` is not called any more."""
        with self._changed:
            self._waiting = None
            self._is_stopped = True
            self._changed.notify()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread, for some seconds; return whether it has ended."""
        self._thread.join(max(timeout, 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (decoding := self._next()) is not None:
            decoding.run(self._decode)
            with self._changed:
                if self._is_stopped:
                    return
            self._finished()

    def _next(self) -> Decoding | None:
        """Return the next message when there is one; None when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_stopped)
            decoding, self._waiting = self._waiting, None
            return None if self._is_stopped else decoding


def is_decoding() -> bool:
    """
    Return whether a thread of this process has not ended that decodes.

    Python must not be finalised meanwhile: it ends the thread within OpenCV, which aborts.
    """
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())
