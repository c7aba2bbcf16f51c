# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Entities are destroyed in their own callbacks, with more of them queued: nothing is raised."""

from __future__ import annotations

from functools import partial

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from m2vae_ros.node.deferred_destruction import DeferredDestruction  # noqa: E402
from m2vae_ros.node.process import make_executor  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.waiting import wait_until  # noqa: E402


class DeferringNode(DeferredDestruction, Node):
    """A node whose destructions are deferred."""


@pytest.fixture(params=[SingleThreadedExecutor, make_executor], ids=lambda make: make.__name__)
def spinning(request):
    """Return a node and a function that spins until a condition holds."""
    with reserved_domain() as domain:
        rclpy.init(domain_id=domain)
        node, executor = DeferringNode('deferring'), request.param()
        executor.add_node(node)
        yield node, partial(wait_until, step=lambda: executor.spin_once(timeout_sec=0.1))
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()


def test_a_subscription_destroyed_while_messages_of_it_are_queued(spinning):
    node, spin_until = spinning
    received = []

    def take(message):
        received.append(message.data)
        node.destroy_subscription(subscription)

    subscription = node.create_subscription(String, 'words', take, 10)
    publisher = node.create_publisher(String, 'words', 10)
    spin_until(publisher.get_subscription_count)
    for word in 'abcde':
        publisher.publish(String(data=word))
    spin_until(lambda: received)
    spin_until(lambda: publisher.get_subscription_count() == 0)
    assert received[0] == 'a'
    assert subscription not in list(node.subscriptions)


def test_a_timer_destroyed_by_another_that_is_ready_at_the_same_time(spinning):
    node, spin_until = spinning
    calls = []
    timers = []

    def call(number):
        calls.append(number)
        for timer in timers:
            node.destroy_timer(timer)

    timers += [node.create_timer(0.01, lambda n=n: call(n)) for n in range(5)]
    wait_until(lambda: all(timer.is_ready() for timer in timers))
    spin_until(lambda: calls)
    spin_until(lambda: not list(super(DeferredDestruction, node).timers))
    assert list(node.timers) == []


def test_publishers_with_events_and_clients(spinning):
    node, spin_until = spinning
    from rcl_interfaces.srv import ListParameters

    publisher = node.create_publisher(String, 'words', 10)
    client = node.create_client(ListParameters, 'deferring/list_parameters')
    spin_until(client.service_is_ready)
    future = client.call_async(ListParameters.Request())
    node.destroy_client(client)
    node.destroy_publisher(publisher)
    spin_until(lambda: node.count_publishers('words') == 0)
    assert client not in list(node.clients)
    assert publisher not in list(node.publishers)
    future.cancel()


def test_without_an_executor_destruction_is_immediate():
    with reserved_domain() as domain:
        rclpy.init(domain_id=domain)
        node = DeferringNode('deferring')
        publisher = node.create_publisher(String, 'words', 10)
        assert node.destroy_publisher(publisher)
        assert not node.destroy_publisher(publisher)
        node.destroy_node()
        rclpy.shutdown()
