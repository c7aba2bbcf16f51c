# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages that waited for a late executor have the time at which they came."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from rclpy.parameter import Parameter  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from m2vae_ros.node.arrival_clock import ArrivalClock  # noqa: E402
from m2vae_ros.node.process import keeps_order  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.waiting import wait_until  # noqa: E402

SECOND = 10**9


@pytest.fixture
def context():
    context = rclpy.Context()
    with reserved_domain() as domain:
        rclpy.init(context=context, domain_id=domain)
        yield context
        rclpy.shutdown(context=context)


def make_listener(context, use_sim_time):
    return rclpy.create_node('listener', context=context, parameter_overrides=[
        Parameter('use_sim_time', value=use_sim_time)])


@pytest.mark.skipif(not keeps_order(), reason='needs the events executor: Jazzy or newer')
def test_every_message_of_a_burst_has_its_own_time(context):
    from rclpy.experimental.events_executor import EventsExecutor

    listener, player = make_listener(context, True), rclpy.create_node('player', context=context)
    arrival_clock = ArrivalClock(listener)
    heard = []
    listener.create_subscription(
        String, 'text', lambda m: heard.append((int(m.data), arrival_clock.now_ns())), 50)
    clock = player.create_publisher(Clock, '/clock', 50)
    texts = player.create_publisher(String, 'text', 50)
    executor = EventsExecutor(context=context)
    executor.add_node(listener)

    def publish(time_ns):
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(time_ns, SECOND)
        clock.publish(message)
        texts.publish(String(data=str(time_ns)))

    def spin():
        executor.spin_once(timeout_sec=0.02)

    def is_heard():
        """Publish time and text until both arrive, which shows that each side knows the other."""
        publish(len(heard) + SECOND)
        spin()
        return any(time_ns == now_ns for time_ns, now_ns in heard)

    wait_until(lambda: clock.get_subscription_count() == 2, 'two subscriptions', step=spin)
    wait_until(is_heard, 'time and text')
    due = [100 * SECOND + k * SECOND // 20 for k in range(20)]
    for time_ns in due:  # nobody takes any of it meanwhile
        publish(time_ns)
    wait_until(lambda: any(time_ns == due[-1] for time_ns, _ in heard), 'last text', step=spin)
    assert [entry for entry in heard if entry[0] >= due[0]] == [(t, t) for t in due]
    executor.shutdown()
    arrival_clock.destroy()
    for node in (listener, player):
        node.destroy_node()


def test_without_simulation_time_it_is_the_nodes_own_clock(context):
    node = make_listener(context, False)
    arrival_clock = ArrivalClock(node)
    before = node.get_clock().now().nanoseconds
    assert before <= arrival_clock.now_ns() <= node.get_clock().now().nanoseconds
    assert '/clock' not in {name for name, _ in node.get_topic_names_and_types()}
    arrival_clock.destroy()
    node.destroy_node()
