# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Gathers what the diagnostics report, once a second."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import ROSClock

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.fusion.refusals import Refusals, stamp_reasons
from m2vae_ros.fusion.statistics import BAD_STAMPS, LATE
from m2vae_ros.fusion.timing_advice import Advice, Adviser
from m2vae_ros.node.arrivals import elapsing_ns
from m2vae_ros.node.diagnostics import (
    disabled_status,
    ERROR,
    fusion_status,
    FusionReport,
    LONGEST_SILENCE,
    Problems,
    sensor_status,
    SensorReport,
    WARN,
)
from m2vae_ros.node.fusion_loop import FusionLoop
from m2vae_ros.node.parameters import FusionParameters

_LONGEST_START = 10.0  # s without /clock: a player may take so long to start


class Monitor:
    """
    Make the diagnostics of a node from its state now and its counts at the last call.

    Parameters
    ----------
    node
        The node's name, with which the names of the statuses begin.
    clock
        The node's clock.

    Attributes
    ----------
    first_rejections
        Sensor and what was wrong with its message, of the rules that were first broken since the
        call before the last.

    """

    def __init__(self, node: str, clock: ROSClock) -> None:
        self._node = node
        self._clock = clock
        self._now_ns: int | None = None
        self._clockless_since: float | None = None  # on the steady clock
        self._counts: dict[str, int] = {}
        self._refusals: dict[str, Refusals] = {}
        self._advised: Pipeline | None = None
        self._adviser = Adviser(SynchronizerOptions(), {})
        self.first_rejections: list[tuple[str, str]] = []

    def statuses(
        self,
        state: str,
        problem: str,
        model: str,
        limits: FusionParameters,
        pipeline: Pipeline | None,
        loop: FusionLoop | None,
    ) -> list[Any]:
        """
        Return the diagnostics of the fusion and, while active, of each sensor.

        Parameters
        ----------
        state
            Lifecycle state.
        problem
            Why the last transition failed, or empty.
        model
            Path of the loaded model.
        limits
            The node's parameters, among them the synchronizer's limits.
        pipeline, loop
            None while the node is not configured, or not active.

        """
        self.first_rejections = []
        now_ns = self._clock.now().nanoseconds
        problems = self._clock_problems(now_ns)
        if problem:
            problems.append((ERROR, problem))
        device = '' if pipeline is None else pipeline.device_report
        if pipeline is None or loop is None:
            report = FusionReport(state=state, model=model, device=device, problems=problems)
            return [fusion_status(self._node, report)]
        elapsed_ns = elapsing_ns(self._clock)
        live = pipeline.live(now_ns)
        results = loop.results
        statistics = pipeline.synchronizer.statistics
        advice = self._advice(pipeline, now_ns)
        problems += [(WARN, sentence) for sentence in advice.overall]
        fusion = FusionReport(
            state=state, model=model, device=device, problems=problems,
            rate=results.rate(elapsed_ns), latency_ms=results.latency(),
            subsets=dict(results.subsets),
            dropped=loop.dropped, newly_dropped=self._new('dropped', loop.dropped),
            clock_jumps=statistics.clock_jumps,
            failures=results.failures, newly_failed=self._new('failures', results.failures),
            last_failure=results.last_failure,
            untrained=pipeline.untrained,
            newly_untrained=self._new('untrained', sum(pipeline.untrained.values())),
            missing=tuple(name for name in loop.subscriptions if name not in live),
        )
        return [fusion_status(self._node, fusion)] + [
            sensor_status(
                self._node, self._sensor(name, loop, pipeline, advice, now_ns, elapsed_ns),
                timeout=limits.timeout,
            )
            for name in loop.subscriptions
        ] + [disabled_status(self._node, name, topic) for name, topic in loop.disabled.items()]

    def _sensor(
        self, name: str, loop: FusionLoop, pipeline: Pipeline, advice: Advice, now_ns: int,
        elapsed_ns: int,
    ) -> SensorReport:
        subscription, arrivals = loop.subscriptions[name], loop.arrivals[name]
        offers = subscription.offers()
        statistics = pipeline.synchronizer.statistics
        dropped = dict(statistics.dropped[name])
        bad_stamps = {rule: dropped.pop(rule) for rule in BAD_STAMPS if rule in dropped}
        rejected = {**pipeline.invalid[name], **bad_stamps}
        explained = stamp_reasons(pipeline.synchronizer.options) | pipeline.first_invalid[name]
        reasons = {rule: explained.get(rule, rule) for rule in rejected}
        refusals = self._refusals.setdefault(name, Refusals())
        usable = statistics.accepted[name] - pipeline.withdrawn[name] + dropped.get(LATE, 0)
        for rule in refusals.note(usable, rejected):
            self.first_rejections.append((name, reasons[rule]))
        undecoded = loop.reception.undecoded[name]
        ahead_ns = pipeline.synchronizer.clock_difference_ns(name, now_ns)
        return SensorReport(
            name=name, topic=subscription.topic, message_type=subscription.message_type,
            reliable=subscription.reliable, adapts=subscription.adapts,
            settled=subscription.age >= LONGEST_SILENCE,
            heard=[offer for offer in offers if subscription.matches(offer)],
            unheard=[offer for offer in offers if not subscription.matches(offer)],
            live=name in pipeline.live(now_ns),
            received=arrivals.count,
            rejected=rejected,
            newly_rejected=self._new(f'rejected {name}', sum(rejected.values())),
            all_rejected=refusals.in_a_row if refusals.are_all else 0,
            reasons=reasons,
            dropped=dropped | undecoded,
            period=arrivals.period(),
            silence=arrivals.silence(elapsed_ns),
            unanswered=arrivals.unanswered(elapsed_ns),
            clock_difference=None if ahead_ns is None else -ahead_ns * 1e-9,
            timing=advice.sensors.get(name, ()),
            delays=pipeline.timing.delays(name),
            newly_undecoded=self._new(f'undecoded {name}', sum(undecoded.values())),
            longest_decoding=loop.reception.longest_decoding(name),
        )

    def _advice(self, pipeline: Pipeline, now_ns: int) -> Advice:
        """Return what to say of the timing of the sensors, judged a few seconds ago."""
        if pipeline is not self._advised:
            synchronizer = pipeline.synchronizer
            self._advised = pipeline
            self._adviser = Adviser(synchronizer.options, synchronizer.offsets)
        return self._adviser.judge(pipeline.timing, now_ns)

    def _clock_problems(self, now_ns: int) -> Problems:
        before_ns, self._now_ns = self._now_ns, now_ns
        if now_ns != 0 or not self._clock.ros_time_is_active:
            self._clockless_since = None
        if not self._clock.ros_time_is_active:
            return []
        if now_ns == 0:
            steady = time.monotonic()
            self._clockless_since = self._clockless_since or steady
            advice = (
                'play the recording with --clock (ros2 bag play --clock), or set '
                'use_sim_time:=false'
            )
            if steady - self._clockless_since < _LONGEST_START:
                return [(WARN, f'use_sim_time is true: waiting for /clock; {advice}')]
            return [(ERROR, f'use_sim_time is true and no /clock arrives: {advice}')]
        if now_ns == before_ns:
            return [(WARN, f'simulation time stands still at {now_ns * 1e-9:.3f} s: paused?')]
        return []

    def _new(self, what: str, count: int) -> int:
        """Return by how much a count has grown since the last report."""
        before = self._counts.get(what, 0)
        self._counts[what] = count
        return count - before if count >= before else count
