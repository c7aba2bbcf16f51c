# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A node that plays a bag: its messages on their topics, its time on ``/clock``.

Just before each message ``/clock`` says when it was received, and in between it runs on, so a node
with ``use_sim_time`` has the time that it would have had at the recording.
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
from m2vae_ros.node.process import make_executor
from m2vae_ros.replay.pace import Pace

CLOCK_TOPIC = '/clock'
_TICK = 0.01  # s of the steady clock between two messages on /clock
_SETTLING = 0.5  # s until publishers and those who listen know of each other
_EPILOGUE = 1_000_000_000  # ns that the time runs on after the last message
_REMINDER = 5.0  # s between two lines that say who is waited for
_LARGEST_RATE = 1000.0
_DEPTH = 10
_SPACE, _RIGHT_ARROW = ' ', '\x1b[C'


@dataclass(frozen=True)
class PlayOptions:
    """
    How a bag is played.

    Parameters
    ----------
    rate
        Seconds of the bag in a second.
    loop
        Whether to begin again at the end.
    start_offset
        Seconds of the bag to leave out at its beginning.
    paused
        Whether to wait for ``~/resume``, or the space key, first.
    topics
        What to play; none = all whose message types are installed.
    wait_for
        Topics that need a subscription before the first message, none = all that are played;
        None = begin at once.

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
        An open one.
    options
        How.
    keys
        Returns what was pressed since its last call.

    Raises
    ------
    ValueError
        If an option does not fit the bag; names bag, option and what would be right.

    """

    def __init__(
        self, bag: Bag, options: PlayOptions, keys: Callable[[], str] = lambda: '',
        **node_options: Any,
    ) -> None:
        super().__init__('player', **node_options)
        self._bag, self._options, self._keys = bag, options, keys
        self._begin_ns = _beginning(bag, options.start_offset)
        self.pace = Pace(options.rate, paused=options.paused)
        self._stopped = False
        self._next = 0  # messages that may pass while paused
        self._tick_ns = 0  # when /clock is due on the steady clock
        self._clock_publisher = self.create_publisher(Clock, CLOCK_TOPIC, _DEPTH)
        self._publishers_of = {
            topic: self._publisher(topic, message_class)
            for topic, message_class in self._playable().items()
        }
        self._declare_rate()
        services: dict[str, Callable[[], bool]] = {
            'pause': partial(self._pause, True), 'resume': partial(self._pause, False),
            'toggle_paused': self._toggle, 'is_paused': lambda: self.pace.paused,
            'play_next': self._play_next, 'stop': self._stop,
        }
        for name, act in services.items():
            self.create_service(Trigger, f'~/{name}', partial(self._answer, act))
        self._executor = make_executor()
        self._executor.add_node(self)

    def play(self) -> None:
        """Play to the end, or until told to end."""
        self._await_subscriptions()
        rounds = 0
        while self._goes_on() and (rounds == 0 or self._options.loop):
            rounds += 1
            self._play_once()
        if self._goes_on():
            self._run_until(self.pace.position(time.monotonic_ns()) + _EPILOGUE)
            for publisher in self._publishers_of.values():
                publisher.wait_for_all_acked(Duration(seconds=1))
        self.get_logger().info('stopped' if self._stopped else 'end of the bag')

    def _play_once(self) -> None:
        self._set_time(self._begin_ns)
        slipped_ns = self.pace.slipped_ns
        for topic, receive_ns, data in self._bag.serialized(
            tuple(self._publishers_of), start_ns=self._begin_ns
        ):
            self._run_until(receive_ns)
            if not self._goes_on():
                return
            self._publish_clock(receive_ns)
            self._publishers_of[topic].publish(data)
            self.pace.reach(receive_ns, time.monotonic_ns())
        slipped_ns = self.pace.slipped_ns - slipped_ns
        if slipped_ns:
            self.get_logger().warning(
                f'played {slipped_ns * 1e-9:.2f} s slower than asked for: reading the bag and '
                f'publishing cannot follow rate {self.get_parameter("rate").value:g}'
            )

    def _run_until(self, bag_ns: int) -> None:
        """Serve and let the time run until it is ``bag_ns``, or until told to end."""
        while self._goes_on():
            steady_ns = time.monotonic_ns()
            if steady_ns >= self._tick_ns:
                self._publish_clock(min(self.pace.position(steady_ns), bag_ns))
                self._tick_ns = steady_ns + int(_TICK * 1e9)
                self._obey(self._keys())
                self._executor.spin_once(timeout_sec=0)
            if self.pace.paused and self._next:
                self._next -= 1
                self.pace.begin(bag_ns, steady_ns)
                return
            wait = self.pace.wait(bag_ns, time.monotonic_ns())
            if wait == 0:
                return
            self._executor.spin_once(timeout_sec=min(_TICK, _TICK if wait is None else wait))

    def _await_subscriptions(self) -> None:
        """Let the time stand still at the beginning until all is there that is waited for."""
        self._set_time(self._begin_ns)
        reminded = time.monotonic()
        while self._goes_on() and (missing := self._unheard()):
            if time.monotonic() - reminded > _REMINDER:
                reminded = time.monotonic()
                self.get_logger().info(f'waiting for a subscription to {", ".join(missing)}')
            self._stand_still(_TICK)
        self._stand_still(_SETTLING)

    def _unheard(self) -> list[str]:
        """Return the topics that are waited for and that nobody listens to."""
        waited_for = self._options.wait_for
        if waited_for is None:
            return []
        return [
            topic for topic in waited_for or self._publishers_of
            if not (
                self._publishers_of[topic].get_subscription_count()
                if topic in self._publishers_of else self.count_subscribers(topic)
            )
        ]

    def _stand_still(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._goes_on() and time.monotonic() < end:
            self._publish_clock(self._begin_ns)
            self._obey(self._keys())
            self._executor.spin_once(timeout_sec=_TICK)

    def _goes_on(self) -> bool:
        return bool(self.context.ok()) and not self._stopped and not ending.was_requested()

    def _set_time(self, bag_ns: int) -> None:
        self.pace.begin(bag_ns, time.monotonic_ns())
        self._publish_clock(bag_ns)

    def _publish_clock(self, bag_ns: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(bag_ns, 10**9)
        self._clock_publisher.publish(message)

    def _playable(self) -> dict[str, Any]:
        """Return topic -> message class of what is to be played."""
        topics = self._bag.topics
        chosen = self._options.topics
        strange = sorted(set(chosen) - set(topics))
        if strange:
            raise ValueError(
                f'{self._bag.path}: --topics {", ".join(strange)}: the bag has {", ".join(topics)}'
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
        """Offer what every subscription accepts; latched where it was at the recording."""
        latched = self._bag.topics[topic].latched
        return self.create_publisher(message_class, topic, QoSProfile(
            depth=_DEPTH,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        ))

    def _declare_rate(self) -> None:
        self.declare_parameter('rate', self._options.rate, ParameterDescriptor(
            description='Seconds of the bag in a second; may be set at any time',
            floating_point_range=[
                FloatingPointRange(from_value=1e-3, to_value=_LARGEST_RATE, step=0.0)
            ],
        ))
        self.add_on_set_parameters_callback(self._set_parameters)

    def _set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == 'rate':
                self.pace.set_rate(parameter.value, time.monotonic_ns())
        return SetParametersResult(successful=True)

    def _answer(self, act: Callable[[], bool], request: Any, response: Any) -> Any:
        response.success = act()
        response.message = 'paused' if self.pace.paused else 'playing'
        return response

    def _pause(self, paused: bool) -> bool:
        self.pace.pause(paused, time.monotonic_ns())
        self.get_logger().info('paused' if paused else 'playing')
        return True

    def _toggle(self) -> bool:
        return self._pause(not self.pace.paused)

    def _play_next(self) -> bool:
        if self.pace.paused:
            self._next += 1
        return self.pace.paused

    def _stop(self) -> bool:
        self._stopped = True
        return True

    def _obey(self, keys: str) -> None:
        for _ in range(keys.count(_SPACE)):
            self._toggle()
        for _ in range(keys.count(_RIGHT_ARROW)):
            self._play_next()


def _beginning(bag: Bag, start_offset: float) -> int:
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
