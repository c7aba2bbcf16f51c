# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The one thread that infers and publishes."""

from __future__ import annotations

from collections.abc import Callable
import threading

from m2vae_ros.node.mailbox import Delivery, Mailbox


class Worker:
    """
    Work through a mailbox in a thread of its own.

    Parameters
    ----------
    work
        Called with each delivery.
    failed
        Called with what ``work`` raised; the thread goes on with the next delivery.

    """

    def __init__(
        self, work: Callable[[Delivery], None], failed: Callable[[Exception], None]
    ) -> None:
        self.mailbox = Mailbox()
        self._work = work
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name='fusion-worker', daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the delivery in hand, if any, and end the thread."""
        self.mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        for delivery in self.mailbox:
            try:
                self._work(delivery)
            except Exception as error:  # one bad set must not end the fusion of all others
                self._failed(error)
