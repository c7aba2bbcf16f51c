# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is said of the timing of sensors, and that what is proposed fuses them."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.timing import measure, TimingWindow
from m2vae_ros.fusion.timing_advice import Advice, advise
from m2vae_ros.fusion.timing_proposal import complete_share, ENOUGH, propose

START = 1_700_000_000_000_000_000
TEN_HERTZ = dict.fromkeys(('camera', 'lidar', 'depth'), 0.1)
ROBOT = {'camera': 1 / 30, 'lidar': 0.1, 'depth': 1 / 12}
DEFAULTS = SynchronizerOptions()


def times(periods, *, seconds=20.0, delay=None, ahead=None, phase=None, jitter=0.0, seed=0):
    """Return sensor -> (stamp, arrival), ns; delays, clocks that are ahead and phases in s."""
    rng = np.random.default_rng(seed)
    found = {}
    for index, (name, period) in enumerate(periods.items()):
        began = (phase or {}).get(name, 0.003 * index)
        measured = np.arange(began, seconds, period)
        measured = measured + rng.uniform(-jitter, jitter, len(measured))
        clock = (ahead or {}).get(name, 0.0)
        error = np.array([clock(at) for at in measured]) if callable(clock) else clock
        arrivals = measured + (delay or {}).get(name, 0.005)
        both = np.stack([measured + error, np.maximum.accumulate(arrivals)], 1)
        found[name] = START + np.round(1e9 * both).astype(np.int64)
    return found


def with_changes(options, offsets, changes):
    """Return options and offsets with what was proposed, as a user sets parameters."""
    own = {name: value for name, value in changes.items() if '.' not in name}
    return (
        SynchronizerOptions(**{**vars(options), **own}),
        offsets | {name.split('.')[0]: value for name, value in changes.items() if '.' in name},
    )


def test_a_sensor_is_measured():
    found = measure(times({'lidar': 0.1}, delay={'lidar': 0.03}, jitter=0.002)['lidar'])
    assert found.messages == 200
    assert found.period == pytest.approx(0.1, abs=1e-4)
    assert 0.001 < found.jitter < 0.005
    assert found.delay_p50 == pytest.approx(0.03, abs=0.003)
    assert found.delay_p50 <= found.delay_p99 <= 0.04
    assert found.lost == 0
    assert len(found.modes) == 1
    assert not found.clock_is_off


def test_lost_messages_and_zero_stamps_change_no_period():
    sent = times({'lidar': 0.1})['lidar']
    lossy = sent[np.random.default_rng(1).random(len(sent)) > 0.2]
    lossy[::7, 0] = 0
    found = measure(lossy)
    assert found.period == pytest.approx(0.1, abs=1e-4)
    assert 0.1 < found.lost < 0.5


def test_too_few_messages_are_not_measured():
    assert measure(times({'lidar': 0.1}, seconds=0.3)['lidar']) is None


def test_all_is_well_with_the_robot():
    assert advise(times(ROBOT), DEFAULTS) == Advice(judged=True)
    assert advise({}, DEFAULTS) == Advice()
    assert complete_share(times(ROBOT), DEFAULTS) >= ENOUGH


@pytest.mark.parametrize(('periods', 'change', 'cure'), [
    (TEN_HERTZ, {'delay': {'depth': 0.15}}, {'max_wait'}),
    (ROBOT, {'delay': {'camera': 0.3}}, {'max_wait', 'timeout', 'queue_size'}),
    (ROBOT, {'delay': {'lidar': 0.45}}, {'max_wait', 'timeout', 'queue_size'}),
    (TEN_HERTZ, {'phase': {'camera': 0, 'lidar': 0.033, 'depth': 0.066}}, {'slop'}),
    ({'camera': 0.2, 'lidar': 0.2}, {'phase': {'lidar': 0.1}}, {'slop'}),
    (ROBOT, {'ahead': {'lidar': 0.19}}, {'lidar.offset'}),
    (ROBOT, {'ahead': {'depth': 37.0}}, {'depth.offset'}),
    (ROBOT, {'ahead': {'camera': -3600.0}}, {'camera.offset'}),
    (ROBOT, {'ahead': {'depth': -1_699_999_000.25}}, {'depth.offset'}),  # never set: from 1970
    ({'camera': 1 / 30, 'lidar': 2.0}, {'seconds': 60, 'delay': {'lidar': 0.06}}, {'timeout'}),
    ({'camera': 0.9, 'lidar': 1.3}, {'seconds': 60}, {'slop', 'timeout', 'max_wait'}),
])
def test_what_is_proposed_fuses_the_sensors(periods, change, cure):
    recorded = times(periods, **change)
    proposal = propose(recorded, DEFAULTS)
    assert proposal.present_share < ENOUGH
    assert cure <= set(proposal.changes) <= cure | {'queue_size'}
    assert proposal.share >= ENOUGH
    followed = with_changes(DEFAULTS, {}, proposal.changes)
    later = times(periods, seed=1, **change)
    assert complete_share(later, *followed) >= ENOUGH
    advice = advise(recorded, DEFAULTS)
    for name, value in proposal.changes.items():
        (typed,) = re.findall(rf'{name} to (\S+?)[, ]', advice.overall[0])
        assert float(typed) == pytest.approx(value, abs=1e-3)
    assert not advise(later, *followed).overall


def test_a_delay_is_not_called_an_error_of_the_clock():
    advice = advise(times(TEN_HERTZ, delay={'depth': 0.15}), DEFAULTS)
    (sentence,) = advice.sensors['depth']
    assert re.match(r'arrives 0\.15 s after its stamp .*: set max_wait to 0\.2', sentence)
    assert list(advice.sensors) == ['depth']
    assert 'offset' not in ' '.join(advice.overall) + sentence


def test_a_clock_that_is_ahead_is_named_and_no_other():
    advice = advise(times(ROBOT, ahead={'lidar': 0.15}), DEFAULTS)
    assert list(advice.sensors) == ['lidar']
    assert 'stamps lie 0.1' in advice.sensors['lidar'][0]
    assert 'set lidar.offset to 0.1' in advice.sensors['lidar'][0]


def test_an_offset_that_pairs_old_measurements_with_new_ones_is_named():
    recorded = times(TEN_HERTZ, delay={'depth': 0.15})
    (sentence,) = advise(recorded, DEFAULTS, {'depth': -0.2}).sensors['depth']
    assert 'set depth.offset to 0' in sentence


def test_a_clock_that_was_set_midway_is_told_by_its_modes_and_gets_no_offset():
    recorded = times(ROBOT, ahead={'depth': lambda at: 37.0 if at < 8 else 0.0})
    advice = advise(recorded, DEFAULTS)
    (sentence,) = advice.sensors['depth']
    assert '37.00 s ahead of the clock of this node (40% of its messages), then' in sentence
    assert 'no offset fits all' in sentence
    assert 'depth.offset' not in ' '.join(advice.overall)


@pytest.mark.parametrize('seed', range(6))
def test_random_free_running_sensors_are_fused_or_told_how_to_be(seed):
    rng = random.Random(seed)
    names = [f'sensor{index}' for index in range(rng.randint(2, 5))]
    periods = {name: 1 / (2 * 30 ** rng.random()) for name in names}
    change = {
        'phase': {name: rng.uniform(0, periods[name]) for name in names},
        'delay': {name: rng.uniform(0, 0.5) for name in names},
        'jitter': rng.uniform(0, 0.005), 'seconds': 20,
    }
    proposal = propose(times(periods, **change), DEFAULTS)
    followed = with_changes(DEFAULTS, {}, proposal.changes)
    assert complete_share(times(periods, seed=1, **change), *followed) >= 0.95
    assert proposal.changes or proposal.present_share >= ENOUGH


def test_a_window_forgets_what_is_old_and_all_at_a_jump_back():
    window = TimingWindow(('lidar',), seconds=1.0)
    for at in range(20):
        window.note('lidar', START + at * 10**8, START + at * 10**8)
    assert len(window.times(START + 19 * 10**8)['lidar']) == 11
    window.note('lidar', 0, START + 20 * 10**8)
    assert len(window.times(START + 19 * 10**8)['lidar']) == 11
    assert window.delays('lidar') == (0.0, 0.0)
    window.note('lidar', START, START)
    assert len(window.times(START)['lidar']) == 1
