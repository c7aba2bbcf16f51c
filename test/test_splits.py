# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings are split by blocks of time, so that no test sample is next to a training one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.samples.splits import split_by_time, SplitOptions

SECOND = 1_000_000_000


def stamps(seconds, rate=10):
    return (1_700_000_000 * SECOND + np.arange(round(seconds * rate)) * (SECOND // rate)).astype(
        np.int64
    )


def distance(first, second):
    """Return the shortest time between samples of two parts, seconds."""
    return np.abs(first[:, None] - second[None]).min() / SECOND


@given(
    st.lists(st.integers(0, 10_000), min_size=3, max_size=400),
    st.floats(0.01, 0.49), st.floats(0.01, 0.49),
)
def test_every_part_has_samples_and_no_sample_is_in_two(steps, validation, test):
    times = np.cumsum(np.array(steps, np.int64) * 1_000_000)
    parts = split_by_time(times, SplitOptions(validation, test))
    rows = np.concatenate(parts)
    assert all(len(part) for part in parts)
    assert len(set(rows.tolist())) == len(rows)
    assert set(rows.tolist()) <= set(range(len(times)))


def test_shares_are_kept_but_for_the_gaps():
    training, validation, test = split_by_time(stamps(600), SplitOptions(0.2, 0.1))
    assert len(test) == pytest.approx(600, rel=0.02)
    assert len(validation) == pytest.approx(1200, rel=0.06)
    assert len(training) > 0.95 * 4200


def test_blocks_are_far_enough_apart():
    times = stamps(600)
    parts = split_by_time(times, SplitOptions(gap_seconds=2.0))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert distance(times[parts[first]], times[parts[second]]) >= 2.0


def test_a_long_recording_has_several_blocks_spread_over_it():
    times = stamps(600)
    test = times[split_by_time(times, SplitOptions()).test]
    starts = np.flatnonzero(np.diff(test, prepend=0) > 5 * SECOND)
    assert len(starts) == 6  # 60 s in blocks of 10 s
    assert np.ptp(test[starts]) > 400 * SECOND


def test_a_recording_of_24_sets_has_all_parts():
    parts = split_by_time(stamps(2.4), SplitOptions())
    assert [len(part) for part in parts] == [20, 2, 2]


def test_what_a_looping_recording_shows_twice_is_in_one_part():
    """Otherwise a model would be tested on samples that it was trained on."""
    once = stamps(60)
    parts = split_by_time(np.concatenate([once, once]), SplitOptions(gap_seconds=0.5))
    times = [set((rows % len(once)).tolist()) for rows in parts]
    assert times[0].isdisjoint(times[1])
    assert times[0].isdisjoint(times[2])
    assert times[1].isdisjoint(times[2])


def test_two_samples_are_too_few():
    with pytest.raises(ValueError, match=r'2 fused sets: .* need at least one each'):
        split_by_time(stamps(0.2), SplitOptions())


@pytest.mark.parametrize(('options', 'rule'), [
    ({'validation_share': 0.0}, 'validation_share'), ({'test_share': 0.5}, 'test_share'),
    ({'block_seconds': 0.0}, 'block_seconds'), ({'gap_seconds': -1.0}, 'gap_seconds'),
])
def test_options_out_of_range_are_refused_by_name(options, rule):
    with pytest.raises(ValueError, match=rule):
        SplitOptions(**options)
