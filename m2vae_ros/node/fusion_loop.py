# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The active node: subscriptions feed the pipeline, one worker fuses and publishes.

The callbacks' thread synchronises and hands over; what takes long to decode is decoded beside it,
in a thread of its sensor; the worker's thread infers and publishes. Between them stand mailboxes,
and no lock is held while decoding or inferring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
import time
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from m2vae_ros.fusion.live.reception import Delivery, Reception
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.node.arrival_clock import ArrivalClock
from m2vae_ros.node.arrivals import Arrivals, elapsing_ns, Results
from m2vae_ros.node.outputs import Outputs
from m2vae_ros.node.parameters import SensorParameters
from m2vae_ros.node.subscriptions import SensorSubscription
from m2vae_ros.node.worker import Worker

_ADAPT_PERIOD = 0.1  # s, between looks at the publishers
_LONGEST_STOP = 1.0  # s, for images that are being decoded


@dataclass(frozen=True)
class Trace:
    """
    One published set, for benchmarks.

    Parameters
    ----------
    stamp_ns, sensors
        The set's stamp and the sensors that it was fused from.
    entered_ns, published_ns
        ``time.perf_counter_ns()`` at entry of the callback that completed the set, and at return
        of publish.

    """

    stamp_ns: int
    sensors: tuple[str, ...]
    entered_ns: int
    published_ns: int


class FusionLoop:
    """
    Fuse what the sensors say, from construction to `stop`.

    Parameters
    ----------
    node
        Whose subscriptions and clock.
    pipeline
        From messages to results.
    outputs
        Publishes the results.
    sensor_parameters
        Sensor of the model -> its parameters.
    reconstruct
        Says at any time whether ``missing`` or ``all`` sensors are to be reconstructed.
    backlog
        Fused sets that may wait for the worker.
    trace
        Called in the worker's thread after each result is published.

    Attributes
    ----------
    subscriptions
        Sensor -> its subscription, of the sensors that are enabled.
    disabled
        Sensor -> its topic, of the others.
    reception
        What is being decoded.

    """

    def __init__(
        self,
        node: Node,
        pipeline: Pipeline,
        outputs: Outputs,
        sensor_parameters: Mapping[str, SensorParameters],
        reconstruct: Callable[[], str],
        backlog: int = 1,
        trace: Callable[[Trace], None] | None = None,
    ) -> None:
        self._node = node
        self._pipeline = pipeline
        self._outputs = outputs
        self._reconstruct = reconstruct
        self._trace = trace
        self._clock = node.get_clock()
        self._arrival_clock = ArrivalClock(node)
        self._armed_ns: int | None = None
        # Discards what waited since the last deactivation, unless it is still fresh.
        pipeline.poll(self._clock.now().nanoseconds)
        # In simulation time, what is fused must not depend on the machine's speed.
        self.reception = Reception(
            pipeline, self._wake, self._failed, lambda: not self._clock.ros_time_is_active
        )
        self._is_stopped = False
        self.results = Results()
        self.arrivals = {spec.name: Arrivals() for spec in pipeline.engine.model.sensors}
        self._worker = Worker(self._fuse, self._failed, backlog)
        self._worker.start()
        self._deadline_timer = node.create_timer(1.0, self._poll)
        self._deadline_timer.cancel()
        self._adapt_timer = node.create_timer(
            _ADAPT_PERIOD, self._adapt, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._jumps = self._clock.create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
            ),
            post_callback=self._clock_jumped,
        )
        self.subscriptions: dict[str, SensorSubscription] = {}
        self.disabled = {
            name: node.resolve_topic_name(own.topic)
            for name, own in sensor_parameters.items() if not own.enabled
        }
        try:
            for spec in pipeline.engine.model.sensors:
                if spec.name in self.disabled:
                    continue
                self.subscriptions[spec.name] = SensorSubscription(
                    node, spec, sensor_parameters[spec.name], partial(self._receive, spec.name)
                )
        except Exception:
            self.stop()
            raise

    @property
    def dropped(self) -> int:
        """How many sets a newer one replaced before the worker took them."""
        return self._worker.mailbox.dropped

    def stop(self) -> None:
        """End the subscriptions, the timers, decoding and, after the set in hand, the worker."""
        self._is_stopped = True
        for subscription in self.subscriptions.values():
            subscription.destroy()
        for timer in (self._deadline_timer, self._adapt_timer):
            self._node.destroy_timer(timer)
        self._jumps.unregister()
        self._arrival_clock.destroy()
        self._worker.stop()
        self.reception.stop(_LONGEST_STOP)

    def _receive(self, sensor: str, message: Any) -> None:
        if self._is_stopped:  # the message was queued before
            return
        entered_ns = time.perf_counter_ns()
        now_ns = self._arrival_clock.now_ns()
        self.arrivals[sensor].note(now_ns, elapsing_ns(self._clock))
        try:
            deliveries = self.reception.receive(sensor, message, now_ns, entered_ns)
        except Exception as error:  # no message may end the node
            self._failed(error)
            return
        self._worker.mailbox.put(deliveries)
        self._arm(now_ns)

    def _wake(self) -> None:
        """Have `_take_decoded` called in the callbacks' thread; called in another."""
        executor = self._node.executor
        if executor is not None and not self._is_stopped:
            executor.create_task(self._take_decoded)

    def _take_decoded(self) -> None:
        self._poll()

    def _poll(self) -> None:
        if self._is_stopped:  # the timer's event was queued before
            return
        entered_ns = time.perf_counter_ns()
        now_ns = self._arrival_clock.now_ns()
        self._deadline_timer.cancel()
        self._armed_ns = None
        self._worker.mailbox.put(self.reception.poll(now_ns, entered_ns))
        self._arm(now_ns)

    def _arm(self, now_ns: int) -> None:
        """Arm the timer, so that `_poll` is called by the next deadline."""
        deadline_ns = self.reception.next_deadline_ns
        if deadline_ns is None or (self._armed_ns is not None and self._armed_ns <= deadline_ns):
            return
        self._armed_ns = deadline_ns
        self._deadline_timer.timer_period_ns = max(deadline_ns - now_ns, 1)
        self._deadline_timer.reset()

    def _clock_jumped(self, jump: Any) -> None:
        if self._is_stopped:
            return
        self._node.get_logger().warning(
            f'the clock jumped by {jump.delta.nanoseconds * 1e-9:.3f} s'
        )
        for arrivals in self.arrivals.values():
            arrivals.restart(elapsing_ns(self._clock))
        self._poll()

    def _adapt(self) -> None:
        if self._is_stopped:
            return
        now_ns = elapsing_ns(self._clock)
        for sensor, subscription in self.subscriptions.items():
            subscription.adapt()
            has_publisher = any(map(subscription.matches, subscription.offers()))
            self.arrivals[sensor].note_publishers(has_publisher, now_ns)

    def _fuse(self, delivery: Delivery) -> None:
        """Fuse one set and publish it; runs in the worker's thread."""
        items = delivery.fused_set.items
        wanted = self._outputs.wanted(items, self._reconstruct())
        result = self._pipeline.fuse(delivery.fused_set, reconstruct=wanted)
        if result is None:
            return
        self._outputs.publish(result, {name: item.frame_id for name, item in items.items()})
        published_ns = time.perf_counter_ns()
        self.results.note(result.sensors, published_ns - delivery.entered_ns)
        if self._trace is not None:
            self._trace(Trace(result.stamp_ns, result.sensors, delivery.entered_ns, published_ns))

    def _failed(self, error: Exception) -> None:
        if not self._node.context.ok():  # the process ends, and nothing can be published
            return
        self.results.note_failure(error)
        self._node.get_logger().error(
            f'a message or set was lost: {self.results.last_failure}', throttle_duration_sec=5.0
        )
