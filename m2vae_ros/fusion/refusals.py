# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Why messages of a sensor are refused, in sentences that a user can act on.

A message is refused by the decoder, which explains itself, or by the synchronizer for its stamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.statistics import ANCIENT_STAMP, FUTURE_STAMP, ZERO_STAMP

_MANY_IN_A_ROW = 3  # refused messages, after which nothing of the sensor is usable as it is
_LONGEST_REASON = 300  # characters
_MOST_REASONS = 3  # in one line


class Refusals:
    """
    What became of one sensor's messages, report by report.

    Attributes
    ----------
    in_a_row
        How many have been refused since the last report in which some were usable.

    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self._usable = self._total = self._total_before = 0
        self._told: set[str] = set()

    @property
    def are_all(self) -> bool:
        """Whether all messages are refused: all there ever were, or several in a row."""
        return self.in_a_row >= _MANY_IN_A_ROW or (self.in_a_row > 0 and not self._usable)

    def note(self, usable: int, refused: Mapping[str, int]) -> tuple[str, ...]:
        """
        Take the counts as they are now; return the rules that were broken for the first time.

        Parameters
        ----------
        usable
            Messages that were accepted so far, or came too late for their set.
        refused
            Rule -> messages that broke it so far.

        """
        total = sum(refused.values())
        if total < self._total:  # the counts began anew
            self._total_before = 0
            self._told.clear()
        if usable != self._usable:
            self._total_before = total
        self._usable, self._total = usable, total
        self.in_a_row = total - self._total_before
        new = tuple(rule for rule, count in refused.items() if count and rule not in self._told)
        self._told.update(new)
        return new


def stamp_reasons(limits: SynchronizerOptions) -> dict[str, str]:
    """Return rule -> what is wrong with a stamp that breaks it, and the cure."""
    return {
        ZERO_STAMP: f'{ZERO_STAMP}: the stamp in its header is 0: the driver must stamp its '
                    f'messages with the time of measurement',
        FUTURE_STAMP: f'{FUTURE_STAMP}: its stamp lies more than max_future '
                      f'({limits.max_future:g} s) ahead of the clock of this node: synchronise '
                      f'the clocks, or set its offset',
        ANCIENT_STAMP: f'{ANCIENT_STAMP}: its stamp lies more than max_age ({limits.max_age:g} s) '
                       f'behind the clock of this node: synchronise the clocks, set its offset, '
                       f'or raise max_age',
    }


def refusals_text(refused: Mapping[str, int], reasons: Mapping[str, str]) -> str:
    """
    Return how many messages broke which rule, and what was wrong with the first of each.

    Parameters
    ----------
    refused
        Rule -> messages that broke it.
    reasons
        Rule -> what was wrong with the first of these.

    """
    counts = ', '.join(f'{rule} {count}' for rule, count in sorted(refused.items()))
    often_first = sorted(refused, key=lambda rule: (-refused[rule], rule))
    told = islice((reasons[rule] for rule in often_first if reasons.get(rule)), _MOST_REASONS)
    return '; '.join([f'(in all: {counts})', *(reason[:_LONGEST_REASON] for reason in told)])
