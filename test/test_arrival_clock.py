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

DOMAIN = 88
SECOND = 10**9
TRIES = 500  # of at most 20 ms


@pytest.fixture
def context():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    yield context
    rclpy.shutdown(context=context)


def use_sim_time(context, value):
    return rclpy.create_node('listener', context=context, parameter_overrides=[
        Parameter('use_sim_time', value=value)])


@pytest.mark.skipif(not keeps_order(), reason='needs the executor of events: Kilted or newer')
def test_every_message_of_a_burst_has_its_own_time(context):
    from rclpy.experimental.events_executor import EventsExecutor

    listener, player = use_sim_time(context, True), rclpy.create_node('player', context=context)
    arrival_clock = ArrivalClock(listener)
    heard = []
    listener.create_subscription(
        String, 'text', lambda m: heard.append((int(m.data), arrival_clock.now_ns())), 50)
    clock = player.create_publisher(Clock, '/clock', 50)
    texts = player.create_publisher(String, 'text', 50)
    executor = EventsExecutor(context=context)
    executor.add_node(listener)
    for _ in range(TRIES):
        if clock.get_subscription_count() == 2 and texts.get_subscription_count() == 1:
            break
        executor.spin_once(timeout_sec=0.02)
    for _ in range(25):  # the other side finds the publishers a little later
        executor.spin_once(timeout_sec=0.02)
    due = [100 * SECOND + k * SECOND // 20 for k in range(20)]
    for time_ns in due:  # nobody takes any of it meanwhile
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(time_ns, SECOND)
        clock.publish(message)
        texts.publish(String(data=str(time_ns)))
    for _ in range(TRIES):
        if len(heard) == len(due):
            break
        executor.spin_once(timeout_sec=0.02)
    assert heard == [(time_ns, time_ns) for time_ns in due]
    executor.shutdown()
    arrival_clock.destroy()
    for node in (listener, player):
        node.destroy_node()


def test_without_simulation_time_it_is_the_nodes_own_clock(context):
    node = use_sim_time(context, False)
    arrival_clock = ArrivalClock(node)
    before = node.get_clock().now().nanoseconds
    assert before <= arrival_clock.now_ns() <= node.get_clock().now().nanoseconds
    assert '/clock' not in {name for name, _ in node.get_topic_names_and_types()}
    arrival_clock.destroy()
    node.destroy_node()
