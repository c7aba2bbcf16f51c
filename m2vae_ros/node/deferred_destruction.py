# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Destroying subscriptions, timers, publishers and clients while messages for them wait.

rclpy's executors queue what is ready and take it later: the events executor an event for each
message and each QoS event, the others a batch. An entity that is destroyed in between raises
``InvalidHandle`` out of the executor, which ends the process. Here an entity is first hidden from
the executor, and then destroyed by a task that the executor runs after all that it had queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

_Node: Any = object  # rclpy's class stands behind this one


class DeferredDestruction(_Node):  # type: ignore[misc]
    """
    Mix into a node, before rclpy's class: its ``destroy_*`` are safe at any moment.

    The callback of an entity that is being destroyed may still be called for what was queued.
    Without an executor, and in ``destroy_node``, destruction is immediate.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._hidden: set[Any] = set()  # entities and their event handlers
        self._is_being_destroyed = False
        super().__init__(*arguments, **options)

    @property
    def subscriptions(self) -> Iterator[Any]:
        """Subscriptions that the executor serves."""
        return self._shown(super().subscriptions)

    @property
    def timers(self) -> Iterator[Any]:
        """Timers that the executor serves."""
        return self._shown(super().timers)

    @property
    def clients(self) -> Iterator[Any]:
        """Clients that the executor serves."""
        return self._shown(super().clients)

    @property
    def publishers(self) -> Iterator[Any]:
        """All publishers of the node."""
        return self._shown(super().publishers)

    @property
    def waitables(self) -> Iterator[Any]:
        """Event handlers and other waitables that the executor serves."""
        return self._shown(super().waitables)

    def destroy_subscription(self, subscription: Any) -> bool:
        """Destroy a subscription when nothing of it is queued any more."""
        return self._destroy_later(subscription, super().destroy_subscription)

    def destroy_timer(self, timer: Any) -> bool:
        """Destroy a timer when nothing of it is queued any more."""
        timer.cancel()
        return self._destroy_later(timer, super().destroy_timer)

    def destroy_client(self, client: Any) -> bool:
        """Destroy a client when nothing of it is queued any more."""
        return self._destroy_later(client, super().destroy_client)

    def destroy_publisher(self, publisher: Any) -> bool:
        """Destroy a publisher when no event of it is queued any more."""
        return self._destroy_later(publisher, super().destroy_publisher)

    def destroy_node(self) -> None:
        """Destroy the node with all that it has, at once."""
        self._is_being_destroyed = True
        super().destroy_node()

    def _shown(self, entities: Iterator[Any]) -> Iterator[Any]:
        return (entity for entity in entities if entity not in self._hidden)

    def _destroy_later(self, entity: Any, destroy: Callable[[Any], bool]) -> bool:
        executor = self.executor
        if executor is None or self._is_being_destroyed:
            return destroy(entity)
        if entity not in self._hidden:
            hidden = {entity, *getattr(entity, 'event_handlers', ())}
            self._hidden |= hidden
            executor.wake()  # it now lets go of what is hidden, and only then runs the task
            executor.create_task(partial(self._destroy, entity, hidden, destroy))
        return True

    def _destroy(self, entity: Any, hidden: set[Any], destroy: Callable[[Any], bool]) -> None:
        if not self._is_being_destroyed:  # else the node destroyed it
            destroy(entity)
        self._hidden -= hidden
