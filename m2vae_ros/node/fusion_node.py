# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node ``fusion``: camera and LiDAR topics in, fused latents out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
import os
from pathlib import Path
import time
import traceback
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
import torch

from m2vae_ros.fusion.engine import usable_threads
from m2vae_ros.fusion.latent_message import MAX_SENSORS
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.node.deferred_destruction import DeferredDestruction
from m2vae_ros.node.diagnostics import ERROR, NEVER_HEARD, OK, raise_to_worst
from m2vae_ros.node.fusion_loop import FusionLoop, Trace
from m2vae_ros.node.monitor import Monitor
from m2vae_ros.node.outputs import Outputs
from m2vae_ros.node.parameters import ParameterDeclarations, SensorParameters
from m2vae_ros.node.process import run_node
from m2vae_ros.node.share import shared_file
from m2vae_ros.vae import checkpoint

_DEFAULT_MODEL = ('config', 'models', 'default.safetensors')
_DIAGNOSTICS_PERIOD = 1.0  # s


class FusionNode(DeferredDestruction, LifecycleNode):  # type: ignore[misc]  # rclpy has no types
    """
    Fuse the sensors of a model, whichever are live.

    *configure* loads the model and warms up every trained subset, *activate* subscribes and
    begins to publish, *deactivate* stops that, *cleanup* frees the device.

    Parameters
    ----------
    trace
        Called after each set is published, for benchmarks.
    node_options
        For rclpy's ``LifecycleNode``.

    Raises
    ------
    ParameterError
        If a given parameter breaks its rule.

    """

    def __init__(
        self, *, trace: Callable[[Trace], None] | None = None, **node_options: Any
    ) -> None:
        super().__init__('fusion', **node_options)
        self._trace = trace
        self._problem = ''  # why the last transition failed
        self.failure = ''  # why the process is to end, see `run_node`
        self._model_path = ''
        self._failing: set[str] = set()  # names of statuses
        self._pipeline: Pipeline | None = None
        self._sensor_parameters: dict[str, SensorParameters] = {}
        self._outputs: Outputs | None = None
        self._loop: FusionLoop | None = None
        self._declarations = ParameterDeclarations(self, lambda: self.state)
        self._settings = self._declarations.read()
        self._monitor = Monitor(self.get_fully_qualified_name().lstrip('/'), self.get_clock())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._diagnostics_timer = self.create_timer(
            _DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=steady
        )
        self._model_publisher = self.create_publisher(
            String, '~/model', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self._autostart_timer: Any = None
        if self._settings.autostart:
            self._autostart_timer = self.create_timer(0.001, self._autostart, clock=steady)

    @property
    def state(self) -> str:
        """Lifecycle state, ``configuring`` and its like during a transition."""
        return str(self._state_machine.current_state[1])

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Load the model, warm it up and declare the parameters of its sensors."""
        return self._attempt('configure', self._configure)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Subscribe and begin to publish."""
        super().on_activate(state)
        return self._attempt('activate', self._start)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Stop subscribing and publishing."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Free the device."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """Free everything, whatever the state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: Any) -> TransitionCallbackReturn:
        """Go back to unconfigured."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Free everything and leave the graph."""
        self._release()
        super().destroy_node()

    def _attempt(self, transition: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Make a transition; when it fails, undo it and say why."""
        try:
            action()
        except Exception as error:  # rclpy would swallow it without a word
            if transition == 'activate':
                self._stop()
            else:
                self._release()
            if self.context.ok():  # else the node was told to end meanwhile, and nothing failed
                self._problem = f'{transition} failed: {error}'
                self.get_logger().error(self._problem)
                if not isinstance(error, (ValueError, OSError, ParameterException)):
                    self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self._problem = ''
        return TransitionCallbackReturn.SUCCESS

    def _autostart(self) -> None:
        if self._autostart_timer is None:  # an executor may have queued the timer twice
            return
        self.destroy_timer(self._autostart_timer)
        self._autostart_timer = None
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        if self._problem and self._settings.exit_on_failure:
            self.failure = self._problem

    def _configure(self) -> None:
        started = time.monotonic()
        self._settings = self._declarations.read()
        threads = usable_threads(self._settings.threads)
        if threads < self._settings.threads:
            self.get_logger().warning(
                f'threads {self._settings.threads}: {threads} are used, as many as there are CPUs'
            )
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        path = Path(os.path.expanduser(self._settings.model or shared_file(*_DEFAULT_MODEL)))
        loaded = checkpoint.load(path)
        model = loaded.model
        if not loaded.has_digest:
            self.get_logger().warning(f'{path}: {checkpoint.NO_DIGEST}')
        if len(model.sensors) > MAX_SENSORS:
            raise ValueError(
                f'{path}: {len(model.sensors)} sensors, a latent message has room for '
                f'{MAX_SENSORS}'
            )
        self._sensor_parameters = self._declarations.read_sensors(model.sensors)
        self._pipeline = Pipeline(
            model,
            device=self._settings.device,
            max_image_pixels=self._settings.max_image_pixels,
            offsets={name: own.offset for name, own in self._sensor_parameters.items()},
            **asdict(self._settings.synchronizer()),
        )
        enabled = self._check_enabled(self._pipeline)
        self._outputs = Outputs(
            self, model.sensors,
            {name: own.frame_id for name, own in self._sensor_parameters.items()},
        )
        self._model_path = str(path)
        self._model_publisher.publish(String(data=loaded.header.to_json()))
        self.get_logger().info(
            f'{path}: sensors {", ".join(enabled)}; {len(model.trained_subsets)} subsets '
            f'warm after {time.monotonic() - started:.1f} s; {self._pipeline.device_report}'
        )

    def _check_enabled(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the sensors that are enabled; the model must have an encoder for some of them."""
        enabled = tuple(name for name, own in self._sensor_parameters.items() if own.enabled)
        if pipeline.engine.subset_for(enabled) is None:
            raise ValueError(
                f'enabled are {", ".join(enabled) or "no sensors"}, for which the model has no '
                f'encoder: set <sensor>.enabled to true for more of '
                f'{", ".join(self._sensor_parameters)}'
            )
        return enabled

    def _start(self) -> None:
        assert self._pipeline is not None
        assert self._outputs is not None
        self._loop = FusionLoop(
            self, self._pipeline, self._outputs, self._sensor_parameters,
            lambda: self.get_parameter('reconstruct').value, self._settings.backlog, self._trace,
        )

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def _release(self) -> None:
        self._stop()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
        self._model_path = ''

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = self._monitor.statuses(
            self.state, self._problem, self._model_path, self._settings, self._pipeline,
            self._loop,
        )
        for sensor, reason in self._monitor.first_rejections:
            self.get_logger().warning(f'{sensor}: the first message rejected for {reason}')
        for status in message.status:
            self._log_change(status)
        raise_to_worst(message.status)
        self._diagnostics.publish(message)

    def _log_change(self, status: Any) -> None:
        """Log when an error begins, and when all is well again."""
        if status.level == ERROR and not self._problem and status.name not in self._failing:
            self._failing.add(status.name)
            self.get_logger().error(f'{status.name}: {status.message}')
        elif status.level == OK and status.name in self._failing:
            self._failing.remove(status.name)
            if not status.message.startswith(NEVER_HEARD):
                self.get_logger().info(f'{status.name} is well again: {status.message}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is told to end; return the process's exit code."""
    return run_node(FusionNode, 'fusion', arguments)
