# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Diagnostics that name cause and cure, from reports of what the node knows (REP-107).

There is no subscription and no clock here: a report holds all that a status is made of, so every
sentence can be tested alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from m2vae_ros.fusion.refusals import refusals_text
from m2vae_ros.node.subscriptions import Offer

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
NEVER_HEARD = 'never heard'  # state of a sensor of which no message has come
NOT_ENABLED = 'not enabled'  # state of a sensor that the robot does not have
LONGEST_SILENCE = 2.0  # s, of a topic that has a publisher
_MARGIN = 2.5  # of a limit that is proposed, over the period that was measured
_PROFILE = '$(ros2 pkg prefix --share m2vae_ros)/config/fastdds_large_messages.xml'

Problems = list[tuple[bytes, str]]


@dataclass(frozen=True)
class SensorReport:
    """
    What is known about one sensor.

    Parameters
    ----------
    name, topic, message_type
        The sensor, and what its subscription is of.
    reliable, adapts
        Reliability of the subscription, and whether it follows the publishers.
    settled
        Whether the subscription has had time to find its publishers.
    heard, unheard
        Publishers that match the subscription, and that do not.
    live
        Whether the synchroniser waits for it.
    received
        Messages, valid or not.
    rejected
        Rule -> messages that broke it.
    newly_rejected
        How many since the last report.
    all_rejected
        How many in a row, where all messages are rejected; else 0.
    reasons
        Rule -> what was wrong with the first message that broke it.
    dropped
        Reason -> valid messages that were fused in no set.
    period
        Seconds between messages, None = unknown.
    silence
        Seconds since the last message, None = there was none.
    unanswered
        Seconds that a matching publisher has been there and nothing has arrived.
    clock_difference
        Seconds that its stamps lie behind the node's clock, where all of them are rejected
        for it.
    timing
        What is wrong with the timing of a sensor that is seldom fused, with the cure.
    delays
        p50 and p99 of arrival minus stamp, seconds.
    newly_undecoded
        Messages since the last report that were in no set because of their decoding.
    longest_decoding
        Seconds that decoding took at most, of late; None = it is done at once.

    """

    name: str
    topic: str
    message_type: str
    reliable: bool
    adapts: bool = False
    settled: bool = True
    heard: Sequence[Offer] = ()
    unheard: Sequence[Offer] = ()
    live: bool = False
    received: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    newly_rejected: int = 0
    all_rejected: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    period: float | None = None
    silence: float | None = None
    unanswered: float = 0.0
    clock_difference: float | None = None
    timing: Sequence[str] = ()
    delays: tuple[float, float] | None = None
    newly_undecoded: int = 0
    longest_decoding: float | None = None

    @property
    def state(self) -> str:
        """``live``, ``silent`` or ``never heard``."""
        if self.received == 0:
            return NEVER_HEARD
        return 'live' if self.live else 'silent'


@dataclass(frozen=True)
class FusionReport:
    """
    What is known about the fusion as a whole.

    Parameters
    ----------
    state
        Lifecycle state.
    model, device
        The model's file; where it runs, and why there.
    rate
        Published sets a second.
    latency_ms
        p50 and p99 from entry of the callback that completed a set to return of publish.
    subsets
        Subset -> number of published sets.
    dropped, newly_dropped
        Sets that a newer one replaced before the worker took them; since the last report.
    clock_jumps
        How often the clock, or that of the stamps, went back.
    failures, last_failure
        Messages and sets that raised an error, and the last error.
    untrained
        Subset that no trained encoder covers -> sets of it that were not fused.
    newly_untrained
        How many since the last report.
    missing
        Sensors that are silent.
    problems
        Other problems: of the node's clock, a failed transition.

    """

    state: str
    model: str = ''
    device: str = ''
    rate: float = 0.0
    latency_ms: tuple[float, float] | None = None
    subsets: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    dropped: int = 0
    newly_dropped: int = 0
    clock_jumps: int = 0
    failures: int = 0
    newly_failed: int = 0
    last_failure: str = ''
    untrained: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    newly_untrained: int = 0
    missing: tuple[str, ...] = ()
    problems: Sequence[tuple[bytes, str]] = ()


def sensor_status(
    node: str, report: SensorReport, *, timeout: float
) -> DiagnosticStatus:
    """Return the diagnostics of one sensor, given the synchroniser's timeout in seconds."""
    problems = (
        _connection_problems(report)
        + _clock_problems(report)
        + _message_problems(report)
        + _timing_problems(report, timeout)
    )
    arrives = report.live or (report.all_rejected and report.newly_rejected)
    rate = 1 / report.period if report.period and arrives else 0.0
    delays = ['unknown'] * 2 if report.delays is None else [f'{x:.3f}' for x in report.delays]
    values = {
        'state': report.state,
        'topic': report.topic,
        'type': report.message_type,
        'subscription': _reliability(report.reliable),
        'publishers': ', '.join(map(_describe, [*report.heard, *report.unheard])) or 'none',
        'received': str(report.received),
        'rate (Hz)': f'{rate:.2f}',
        'age (s)': NEVER_HEARD if report.silence is None else f'{report.silence:.2f}',
        'delay p50 (s)': delays[0],
        'delay p99 (s)': delays[1],
        **_decoding_value(report.longest_decoding),
        'rejected': str(sum(report.rejected.values())),
        **{f'rejected: {rule}': str(count) for rule, count in sorted(report.rejected.items())},
        **{f'first rejected: {rule}': text for rule, text in sorted(report.reasons.items())},
        **{f'dropped: {reason}': str(n) for reason, n in sorted(report.dropped.items())},
    }
    return _status(
        f'{node}: {report.name}', report.topic, problems, f'{report.state}, {rate:.1f} Hz', values
    )


def disabled_status(node: str, sensor: str, topic: str) -> DiagnosticStatus:
    """Return the diagnostics of a sensor that the robot does not have."""
    return _status(
        f'{node}: {sensor}', topic, [], f'not enabled ({sensor}.enabled is false)',
        {'state': NOT_ENABLED, 'topic': topic},
    )


def fusion_status(node: str, report: FusionReport) -> DiagnosticStatus:
    """Return the diagnostics of the fusion as a whole."""
    problems: Problems = list(report.problems)
    if report.state != 'active':
        problems.append((WARN, f'the node is {report.state}'))
    if report.newly_untrained:
        problems.append((ERROR, (
            f'untrained subset: the model has no encoder for what is live, nothing is published; '
            f'missing are {", ".join(report.missing)}'
        )))
    if report.newly_failed:
        problems.append((ERROR, (
            f'{report.newly_failed} messages or sets lost, the last by {report.last_failure}'
        )))
    if report.newly_dropped:
        problems.append((WARN, (
            f'{report.newly_dropped} sets dropped: inference is slower than the sensors'
        )))
    if report.state == 'active' and report.rate == 0 and not problems:
        problems.append((WARN, 'nothing to fuse'))
    p50, p99 = report.latency_ms or (float('nan'), float('nan'))
    values = {
        'lifecycle state': report.state,
        'model': report.model,
        'device': report.device,
        'rate (Hz)': f'{report.rate:.2f}',
        'latency p50 (ms)': f'{p50:.2f}',
        'latency p99 (ms)': f'{p99:.2f}',
        'sets dropped': str(report.dropped),
        'messages or sets failed': str(report.failures),
        **{f'sets of an untrained subset: {"+".join(subset)}': str(n)
           for subset, n in report.untrained.items()},
        'clock jumps': str(report.clock_jumps),
        **{f'sets: {"+".join(subset)}': str(n) for subset, n in report.subsets.items()},
    }
    return _status(
        f'{node}: fusion', 'm2vae_ros', problems, f'fusing at {report.rate:.1f} Hz', values
    )


def raise_to_worst(statuses: Sequence[DiagnosticStatus]) -> None:
    """Give the first status, that of the fusion, the worst level of all, and name whose it is."""
    overall, *sensors = statuses
    worst = max((status.level for status in sensors), default=OK)
    if worst > overall.level:
        names = [status.name.rpartition(' ')[2] for status in sensors if status.level == worst]
        overall.level = worst
        overall.message = f'{overall.message}; see {", ".join(names)}'


def _connection_problems(report: SensorReport) -> Problems:
    problems: Problems = []
    for offer in report.unheard if report.settled else ():
        if offer.message_type != report.message_type:
            why = f'publishes {offer.message_type}, expected is {report.message_type}'
        elif report.adapts:  # within half a second it will match
            continue
        else:
            why = (f'offers best effort and the subscription is reliable: set '
                   f'{report.name}.reliability to auto')
        problems.append((ERROR, f'{offer.node} on {report.topic} is not heard: it {why}'))
    if report.unanswered >= LONGEST_SILENCE:
        problems.append((ERROR, (
            f'nothing arrives on {report.topic} for {report.unanswered:.1f} s although '
            f'{", ".join(map(_describe, report.heard))} publishes there (the subscription is '
            f'{_reliability(report.reliable)}): the driver is silent, or its messages are too '
            f'large to leave it best effort; for these start the driver with '
            f'FASTDDS_DEFAULT_PROFILES_FILE (Humble and Jazzy: FASTRTPS_DEFAULT_PROFILES_FILE) '
            f'set to {_PROFILE}'
        )))
    elif report.settled and not report.heard and not report.unheard:
        problems.append((WARN, (
            f'no publisher on {report.topic}: start the driver, remap the topic or set '
            f'{report.name}.topic; if the robot has no {report.name}, set {report.name}.enabled '
            f'to false'
        )))
    return problems


def _clock_problems(report: SensorReport) -> Problems:
    if report.clock_difference is None:
        return []
    behind = report.clock_difference > 0
    return [(ERROR, (
        f'all messages are rejected: their stamps lie {abs(report.clock_difference):.1f} s '
        f'{"behind" if behind else "ahead of"} the clock of this node; for a recording play it '
        f'with --clock (ros2 bag play --clock) and set use_sim_time:=true, for two hosts '
        f'synchronise their clocks, or set {report.name}.offset to {-report.clock_difference:.1f}'
    ))]


def _message_problems(report: SensorReport) -> Problems:
    if report.clock_difference is not None:
        return []
    text = refusals_text(report.rejected, report.reasons)
    if report.all_rejected:
        return [(ERROR, f'all messages are rejected, {report.all_rejected} in a row {text}')]
    if report.newly_rejected:
        return [(WARN, f'{report.newly_rejected} messages rejected just now {text}')]
    return []


def _timing_problems(report: SensorReport, timeout: float) -> Problems:
    problems: Problems = []
    if report.clock_difference is None:
        problems += [(WARN, sentence) for sentence in report.timing]
    if report.newly_undecoded:
        problems.append((WARN, (
            f'{report.newly_undecoded} messages were not decoded in time just now, decoding took '
            f'up to {report.longest_decoding or 0:.3f} s: let the driver send fewer or smaller '
            f'ones, or jpeg instead of png'
        )))
    if report.period is not None and report.period > timeout:
        problems.append((WARN, (
            f'its period of {report.period:.3f} s exceeds timeout ({timeout:g} s): set timeout to '
            f'{report.period * _MARGIN:.2f} or more'
        )))
    return problems


def _decoding_value(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {'longest decoding (s)': f'{seconds:.3f}'}


def _reliability(reliable: bool) -> str:
    return 'reliable' if reliable else 'best effort'


def _describe(offer: Offer) -> str:
    return f'{offer.node} ({_reliability(offer.reliable)})'


def _status(
    name: str, hardware_id: str, problems: Problems, well: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    worst_first = sorted(problems, key=lambda problem: problem[0], reverse=True)
    return DiagnosticStatus(
        level=max((level for level, _ in problems), default=OK),
        name=name,
        message='; '.join(text for _, text in worst_first) or well,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
