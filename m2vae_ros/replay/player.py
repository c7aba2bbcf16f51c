# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A node that plays a bag: its messages on their topics, its time on ``/clock``.

Just before each message, its time of receipt is published on ``/clock``; in between the time runs
on. So a node with ``use_sim_time`` has the time that it would have had during the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
import time
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from m2vae_ros import ending
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.topics import ros_2_name
from m2vae_ros.node.process import make_executor
from m2vae_ros.replay.pace import MAX_RATE, MIN_RATE, Pace

CLOCK_TOPIC = '/clock'
_CLOCK_PERIOD = 0.01  # s of the steady clock between two messages on /clock
_DISCOVERY_TIME = 0.5  # s that publishers and subscriptions get to discover each other
_TIME_AFTER_END = 1_000_000_000  # ns that the bag's time runs on after the last message
_REMINDER_PERIOD = 5.0  # s between two lines that say which topics are waited for
_QUEUE_DEPTH = 10
_SPACE, _RIGHT_ARROW = ' ', '\x1b[C'


@dataclass(frozen=True)
class PlayOptions:
    """
    How a bag is played.

    Parameters
    ----------
    rate
        Seconds of the bag in a second, 0.001 to 1000.
    loop
        Whether to begin again at the end.
    start_offset
        Seconds of the bag to leave out at its beginning.
    paused
        Whether to begin paused, until ``~/resume`` or the space key.
    topics
        Topics to play; empty = all whose message types are installed.
    wait_for
        Topics that must have a subscription before the first message; empty = all that are
        played, None = begin at once.

    """

    rate: float = 1.0
    loop: bool = False
    start_offset: float = 0.0
    paused: bool = False
    topics: Sequence[str] = ()
    wait_for: Sequence[str] | None = None


class Player(Node):  # type: ignore[misc]  # rclpy carries no types
    """
    Play a bag.

    Parameters
    ----------
    bag
        An open bag.
    options
        How to play it.
    keys
        Returns the keys pressed since its last call; see `pressed_keys`.

    Raises
    ------
    ValueError
        If an option does not fit the bag; the text names bag, option and what would be right.

    """

    def __init__(
        self, bag: Bag, options: PlayOptions, keys: Callable[[], str] = lambda: '',
        **node_options: Any,
    ) -> None:
        super().__init__('player', **node_options)
        self._executor = make_executor()
        self._bag, self._options, self._keys = bag, options, keys
        self._start_ns = _start_ns(bag, options.start_offset)
        self.pace = Pace(options.rate, paused=options.paused)
        self._stopped = False
        self._steps = 0  # messages still to play, one by one, while paused
        self._clock_due_ns = 0  # when /clock is due, on the steady clock
        self._clock_publisher = self.create_publisher(Clock, CLOCK_TOPIC, _QUEUE_DEPTH)
        self._topic_publishers = {
            topic: self._publisher(topic, message_class)
            for topic, message_class in self._playable().items()
        }
        self._declare_rate()
        services: dict[str, Callable[[], bool]] = {
            'pause': partial(self._pause, True), 'resume': partial(self._pause, False),
            'toggle_paused': self._toggle_paused, 'is_paused': lambda: self.pace.paused,
            'play_next': self._play_next, 'stop': self._stop,
        }
        for name, act in services.items():
            self.create_service(Trigger, f'~/{name}', partial(self._on_service, act))
        self._executor.add_node(self)

    def play(self) -> None:
        """Play to the end, or until stopped."""
        self._await_subscriptions()
        rounds = 0
        while self._is_running() and (rounds == 0 or self._options.loop):
            rounds += 1
            self._play_once()
        has_ended = self._is_running()
        if has_ended:
            self._run_until(self.pace.position(time.monotonic_ns()) + _TIME_AFTER_END)
            for publisher in self._topic_publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=1))
        self.get_logger().info('end of the bag' if has_ended else 'stopped')

    def destroy_node(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        super().destroy_node()

    def _play_once(self) -> None:
        self._set_time(self._start_ns)
        slipped_ns = self.pace.slipped_ns
        for topic, receive_ns, data in self._bag.serialized(
            tuple(self._topic_publishers), start_ns=self._start_ns
        ):
            self._run_until(receive_ns)
            if not self._is_running():
                return
            self._publish_clock(receive_ns)
            self._topic_publishers[topic].publish(data)
            self.pace.slip_if_late(receive_ns, time.monotonic_ns())
        slipped_ns = self.pace.slipped_ns - slipped_ns
        if slipped_ns:
            self.get_logger().warning(
                f'played {slipped_ns * 1e-9:.2f} s slower than requested: reading the bag and '
                f'publishing are too slow for rate {self.get_parameter("rate").value:g}'
            )

    def _run_until(self, bag_ns: int) -> None:
        """Let the time run until it is ``bag_ns``, or until stopped; serve requests meanwhile."""
        while self._is_running():
            steady_ns = time.monotonic_ns()
            if steady_ns >= self._clock_due_ns:
                self._publish_clock(min(self.pace.position(steady_ns), bag_ns))
                self._clock_due_ns = steady_ns + int(_CLOCK_PERIOD * 1e9)
                self._on_keys(self._keys())
                self._executor.spin_once(timeout_sec=0)
            if self.pace.paused and self._steps:
                self._steps -= 1
                self.pace.begin(bag_ns, steady_ns)
                return
            wait = self.pace.wait(bag_ns, time.monotonic_ns())
            if wait == 0:
                return
            timeout = _CLOCK_PERIOD if wait is None else min(_CLOCK_PERIOD, wait)
            self._executor.spin_once(timeout_sec=timeout)

    def _await_subscriptions(self) -> None:
        """Let the time stand still until the topics of ``wait_for`` have subscriptions."""
        self._set_time(self._start_ns)
        reminded = time.monotonic()
        while self._is_running() and (missing := self._unsubscribed()):
            if time.monotonic() - reminded > _REMINDER_PERIOD:
                reminded = time.monotonic()
                self.get_logger().info(f'waiting for a subscription to {", ".join(missing)}')
            self._stand_still(_CLOCK_PERIOD)
        self._stand_still(_DISCOVERY_TIME)

    def _unsubscribed(self) -> list[str]:
        """Return the topics of ``wait_for`` that have no subscription."""
        topics = self._options.wait_for
        if topics is None:
            return []
        return [
            topic for topic in topics or self._topic_publishers
            if not (
                self._topic_publishers[topic].get_subscription_count()
                if topic in self._topic_publishers else self.count_subscribers(topic)
            )
        ]

    def _stand_still(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._is_running() and time.monotonic() < end:
            self._publish_clock(self._start_ns)
            self._on_keys(self._keys())
            self._executor.spin_once(timeout_sec=_CLOCK_PERIOD)

    def _is_running(self) -> bool:
        return bool(self.context.ok()) and not self._stopped and not ending.was_requested()

    def _set_time(self, bag_ns: int) -> None:
        self.pace.begin(bag_ns, time.monotonic_ns())
        self._publish_clock(bag_ns)

    def _publish_clock(self, bag_ns: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(bag_ns, 10**9)
        self._clock_publisher.publish(message)

    def _playable(self) -> dict[str, Any]:
        """Return topic -> message class of the topics to play."""
        topics = self._bag.topics
        chosen = self._options.topics
        unknown = sorted(set(chosen) - set(topics))
        if unknown:
            raise ValueError(
                f'{self._bag.path}: --topics {", ".join(unknown)}: the bag has {", ".join(topics)}'
            )
        classes = {}
        for topic in chosen or [name for name in topics if name != CLOCK_TOPIC]:
            message_class = _message_class(topics[topic].message_type)
            if message_class is not None:
                classes[topic] = message_class
            elif chosen:
                package = topics[topic].message_type.split('/')[0]
                raise ValueError(
                    f'{self._bag.path}: topic {topic} is of type '
                    f'{topics[topic].message_type}, which is not installed: install the package '
                    f'{package}, or leave the topic out'
                )
            else:
                self.get_logger().warning(
                    f'{topic} is not played: its type {topics[topic].message_type} is not '
                    f'installed'
                )
        if not classes:
            raise ValueError(f'{self._bag.path}: no topic in it can be played')
        return classes

    def _publisher(self, topic: str, message_class: Any) -> Any:
        """Return a publisher that any subscription accepts: reliable, and latched as recorded."""
        latched = self._bag.topics[topic].latched
        return self.create_publisher(message_class, ros_2_name(topic), QoSProfile(
            depth=_QUEUE_DEPTH,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        ))

    def _declare_rate(self) -> None:
        self.declare_parameter('rate', self._options.rate, ParameterDescriptor(
            description='Seconds of the bag in a second; may be set at any time',
            floating_point_range=[
                FloatingPointRange(from_value=MIN_RATE, to_value=MAX_RATE, step=0.0)
            ],
        ))
        self.add_on_set_parameters_callback(self._set_parameters)

    def _set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == 'rate':
                self.pace.set_rate(parameter.value, time.monotonic_ns())
        return SetParametersResult(successful=True)

    def _on_service(self, act: Callable[[], bool], request: Any, response: Any) -> Any:
        response.success = act()
        response.message = 'paused' if self.pace.paused else 'playing'
        return response

    def _pause(self, paused: bool) -> bool:
        self.pace.pause(paused, time.monotonic_ns())
        self.get_logger().info('paused' if paused else 'playing')
        return True

    def _toggle_paused(self) -> bool:
        return self._pause(not self.pace.paused)

    def _play_next(self) -> bool:
        if self.pace.paused:
            self._steps += 1
        return self.pace.paused

    def _stop(self) -> bool:
        self._stopped = True
        return True

    def _on_keys(self, keys: str) -> None:
        for _ in range(keys.count(_SPACE)):
            self._toggle_paused()
        for _ in range(keys.count(_RIGHT_ARROW)):
            self._play_next()


def _start_ns(bag: Bag, start_offset: float) -> int:
    seconds = (bag.end_ns - bag.start_ns) * 1e-9
    if not 0 <= start_offset <= seconds:
        raise ValueError(
            f'{bag.path}: --start-offset {start_offset:g}: must be from 0 to the length of the '
            f'bag, {seconds:.1f} s'
        )
    return bag.start_ns + round(start_offset * 1e9)


def _message_class(type_name: str) -> Any:
    """Return the class of a message type, None where its package is not installed."""
    package, _, name = type_name.split('/')
    try:
        return getattr(import_module(f'{package}.msg'), name, None)
    except ModuleNotFoundError:
        return None
