# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rejected messages are told by rule, the first of each, and counted until one is usable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.refusals import Refusals, refusals_text, stamp_reasons
from m2vae_ros.fusion.statistics import BAD_STAMPS

REPORTS = st.lists(st.lists(st.sampled_from(['', 'step', 'encoding', 'zero_stamp']), max_size=5),
                   max_size=12)  # for each report its messages: '' is usable, else a broken rule


@given(REPORTS)
def test_each_rule_is_told_once_and_only_refused_messages_count_in_a_row(reports):
    refusals, usable, refused, told = Refusals(), 0, {}, []
    since_usable = 0
    for messages in reports:
        usable += messages.count('')
        for rule in filter(None, messages):
            refused[rule] = refused.get(rule, 0) + 1
        since_usable = 0 if '' in messages else since_usable + len(messages)
        told += refusals.note(usable, refused)
        assert sorted(told) == sorted(refused)
        assert refusals.in_a_row == since_usable
        assert refusals.are_all == (since_usable >= 3 or (since_usable > 0 and not usable))


def test_after_a_new_start_the_rules_are_told_again():
    refusals = Refusals()
    assert refusals.note(0, {'step': 7}) == ('step',)
    assert refusals.note(0, {}) == ()
    assert refusals.note(0, {'step': 2}) == ('step',)
    assert refusals.in_a_row == 2


def test_the_most_frequent_rules_are_explained_first_and_at_no_great_length():
    reasons = {rule: f'{rule}: {"why " * 500}' for rule in 'abcde'}
    text = refusals_text({'a': 1, 'b': 5, 'c': 2, 'd': 9, 'e': 1}, reasons)
    assert text.startswith('(in all: a 1, b 5, c 2, d 9, e 1); d: why')
    assert text.index('; d: ') < text.index('; b: ') < text.index('; c: ')
    assert len(text) < 1000


def test_each_stamp_that_is_rejected_is_explained_with_its_limit():
    reasons = stamp_reasons(SynchronizerOptions(max_age=7.0, max_future=0.3))
    assert set(reasons) == set(BAD_STAMPS)
    assert 'max_age (7 s)' in reasons['ancient_stamp']
    assert 'max_future (0.3 s)' in reasons['future_stamp']
