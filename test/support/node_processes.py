# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node in a process of its own, and the other end of its topics in the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
import time

from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from support.domains import reserved_domain
from support.processes import entry, Process
from support.waiting import wait_until


class NodeProcess(Process):
    """
    The fusion node, started as a user starts it.

    Parameters
    ----------
    domain
        ROS domain.
    folder
        Where its log goes.
    values
        Parameter -> value.
    arguments
        What else stands behind ``--ros-args``.

    """

    def __init__(self, domain: int, folder: Path, values: Mapping, *arguments: str) -> None:
        given = [f'{name}:={_text(value)}' for name, value in values.items()]
        super().__init__(
            entry('fusion_node'),
            ['--ros-args', *arguments, *(word for pair in given for word in ('-p', pair))],
            folder / f'node_{domain}.log', ROS_DOMAIN_ID=str(domain),
        )


class Peer:
    """
    Publishers, subscriptions and clients in the test's process, spun while the test waits.

    Parameters
    ----------
    domain
        ROS domain.
    process
        Every wait fails when it ends. None: no process is watched.

    """

    def __init__(self, domain: int, process: Process | None = None) -> None:
        self.domain = domain
        self.process = process
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict = {}

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def spin(self) -> None:
        """Take what has come, or wait a little for something to come."""
        if self.process is not None:
            self.process.check()
        self._executor.spin_once(timeout_sec=0.05)

    def wait_for(self, condition: Callable, what='it', *, step: Callable | None = None):
        """Spin until a condition holds and return its value; `step` replaces `spin`."""
        return wait_until(
            condition, what, step=step or self.spin,
            log=lambda: '' if self.process is None else f'node:\n{self.process.log}',
        )

    def pass_time(self, seconds: float) -> None:
        """Spin for a while, at least, in which something is not to happen."""
        end = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= end)

    def now_ns(self) -> int:
        """Return the time of its clock, nanoseconds."""
        return self.node.get_clock().now().nanoseconds

    def hear(self, message_class, topic: str, qos=10) -> list:
        """Return a list that grows with what is published on a topic."""
        heard: list = []
        self.node.create_subscription(message_class, topic, heard.append, qos)
        return heard

    def forget(self, topic: str) -> None:
        """End the subscriptions of a topic."""
        for subscription in list(self.node.subscriptions):
            if subscription.topic_name == self.node.resolve_topic_name(topic):
                self.node.destroy_subscription(subscription)

    def client(self, service_class, name: str):
        """Return a client of a service that is there."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(service_class, name)
            self.wait_for(client.service_is_ready, f'service {name}')
        return client

    def call(self, service_class, name: str, **fields):
        """Call a service and return its response."""
        future = self.client(service_class, name).call_async(service_class.Request(**fields))
        self.wait_for(future.done, f'answer of {name}')
        return future.result()

    def set_parameter(self, node: str, name: str, value):
        """Set a parameter of a node; return the result, which says whether and why not."""
        wanted = Parameter(name, value=value).to_parameter_msg()
        return self.call(SetParameters, f'{node}/set_parameters', parameters=[wanted]).results[0]


@contextmanager
def peer_of_node(folder: Path, parameters: Mapping, *arguments: str) -> Iterator[Peer]:
    """
    Run a fusion node in a domain of its own and give a peer of it.

    At the end the node ends well on Ctrl-C, unless the test has seen its end.
    """
    with (
        reserved_domain() as domain,
        NodeProcess(domain, folder, parameters, *arguments) as process,
    ):
        peer = Peer(domain, process)
        try:
            yield peer
        finally:
            peer.close()
        if not process.ended():
            assert process.stop() == 0
            for word in ('Traceback', 'InvalidHandle', 'one event was lost'):
                assert word not in process.log


def stamp_of(message) -> int:
    """Return the stamp of a message in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _text(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
