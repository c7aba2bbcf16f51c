# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What to tell a user whose sensors are seldom fused: which is off, by how much, what to set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import threading

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.timing import LONGEST_DELAY, measure_all, SensorTiming, TimingWindow
from m2vae_ros.fusion.timing_proposal import ENOUGH, number_text, Proposal, propose, Times

_MEANINGFUL = 0.1  # by which a proposal must raise the share, to be told
_SELDOM = 0.5  # of the slowest sensor's messages; more may be lost on the way
_INTERVAL_NS = 5_000_000_000  # between two judgements
_LEAST_AHEAD = 0.02  # s; less is no clock's fault that matters


@dataclass(frozen=True)
class Advice:
    """
    Sentences about the timing of some sensors, each with its cure.

    Parameters
    ----------
    overall
        About all sensors together.
    sensors
        Sensor -> about this one.
    judged
        Whether enough was known of two sensors or more.

    """

    overall: tuple[str, ...] = ()
    sensors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    judged: bool = False


def advise(
    times: Times, options: SynchronizerOptions, offsets: Mapping[str, float] | None = None
) -> Advice:
    """
    Return what to say about sensors with these times; nothing where nearly all are fused.

    Parameters
    ----------
    times
        Sensor -> stamps as sent and arrivals, nanoseconds, ``(messages, 2)``.
    options, offsets
        The present ones.

    """
    offsets = offsets or {}
    proposal = propose(times, options, offsets)
    sensors = {}
    timings = measure_all(times) if proposal is None else proposal.timings
    for name, timing in timings.items():
        said = _clock_sentence(name, timing, offsets.get(name, 0.0))
        if said:
            sensors[name] = [said]
    overall = []
    if proposal is not None and proposal.present_share < ENOUGH:
        told = _told(proposal)
        for name in _late(proposal) if 'max_wait' in told else ():
            sensors.setdefault(name, []).append(_late_sentence(proposal, name))
        if told or proposal.present_share < _SELDOM:
            overall.append(_overall_sentence(proposal, told))
    return Advice(
        tuple(overall), {name: tuple(said) for name, said in sensors.items()},
        judged=proposal is not None,
    )


class Adviser:
    """
    Judges the timing now and then in a thread of its own, which takes tens of milliseconds.

    Parameters
    ----------
    options, offsets
        The present ones.

    Attributes
    ----------
    advice
        The last.

    """

    def __init__(self, options: SynchronizerOptions, offsets: Mapping[str, float]) -> None:
        self.advice = Advice()
        self._options = options
        self._offsets = dict(offsets)
        self._last_ns: int | None = None
        self._thread: threading.Thread | None = None

    def judge(self, window: TimingWindow, now_ns: int) -> Advice:
        """Return the last advice, and begin to judge anew unless that was done just now."""
        just_now = self._last_ns is not None and 0 <= now_ns - self._last_ns < _INTERVAL_NS
        if (just_now and self.advice.judged) or (self._thread and self._thread.is_alive()):
            return self.advice
        self._last_ns = now_ns
        self._thread = threading.Thread(
            target=self._judge, args=(window.times(now_ns),), name='timing-adviser', daemon=True
        )
        self._thread.start()
        return self.advice

    def _judge(self, times: Times) -> None:
        self.advice = advise(times, self._options, self._offsets)


def _clock_sentence(name: str, timing: SensorTiming, offset: float) -> str:
    """Return what is wrong with a sensor's clock, or with the offset that corrects it; or ''."""
    delay = timing.delay_p50 + offset
    if all(-_LEAST_AHEAD <= mode + offset <= LONGEST_DELAY for mode, _ in timing.modes):
        return ''
    if len(timing.modes) > 1:
        told = ', then '.join(
            f'{_apart(mode)} ({share:.0%} of its messages)' for mode, share in timing.modes
        )
        return (
            f'its stamps lie {told}: its clock was set while it ran and no offset fits all; '
            f'synchronise the clocks before the driver starts'
        )
    if offset and not timing.clock_is_off:
        return (
            f'{name}.offset {offset:g} puts its stamps {_apart(delay)}, without it they lie '
            f'{_apart(timing.delay_p50)}: set {name}.offset to 0, and max_wait to wait for it'
        )
    corrected = f' when corrected by {name}.offset {offset:g}' if offset else ''
    return (
        f'its stamps lie {_apart(delay)}{corrected}: synchronise the clocks, or set '
        f'{name}.offset to {-timing.delay_p50:.2f}'
    )


def _apart(delay: float) -> str:
    """Return where stamps lie that are this much older than the clock."""
    return f'{abs(delay):.2f} s {"behind" if delay > 0 else "ahead of"} the clock of this node'


def _told(proposal: Proposal) -> dict[str, float]:
    """Return the changes that are worth telling."""
    if proposal.share < proposal.present_share + _MEANINGFUL and proposal.share < ENOUGH:
        return {}
    return dict(proposal.changes)


def _late(proposal: Proposal) -> list[str]:
    """Return the sensors whose delays are the reason to wait longer."""
    delays = {
        name: timing.delay_p50 + proposal.offsets.get(name, 0.0)
        for name, timing in proposal.timings.items()
    }
    least, most = min(delays.values()), max(delays.values())
    return [name for name, delay in delays.items() if delay - least > 0.5 * (most - least) > 0.01]


def _late_sentence(proposal: Proposal, name: str) -> str:
    timing = proposal.timings[name]
    return (
        f'arrives {timing.delay_p50:.2f} s after its stamp (99 % within {timing.delay_p99:.2f} '
        f's): set max_wait to {proposal.options.max_wait:g} or more'
    )


def _overall_sentence(proposal: Proposal, told: Mapping[str, float]) -> str:
    names = ', '.join(proposal.timings)
    share = f'{proposal.present_share:.0%} of the messages of the slowest'
    if not told:
        return f'{names} are seldom fused together ({share}), and no setting would mend it'
    apart = ''
    if 'slop' in told:
        apart = f'their stamps lie {proposal.span:.3f} s apart, '
    cures = ', '.join(f'{name} to {number_text(value)}' for name, value in told.items())
    return (
        f'{names} are seldom fused together ({share}): {apart}set {cures} '
        f'(then {proposal.share:.0%})'
    )
