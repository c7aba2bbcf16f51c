# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The time of a bag as it is played, and the keys that pause it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
import pytest

from m2vae_ros.replay.pace import Pace

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND
moments = st.integers(0, 10 * SECOND)
ACTS = {
    'pause': lambda pace, now: pace.pause(True, now),
    'resume': lambda pace, now: pace.pause(False, now),
    'faster': lambda pace, now: pace.set_rate(3.0, now),
    'slower': lambda pace, now: pace.set_rate(0.3, now),
}
KEYS = """
import sys
from m2vae_ros.replay.keyboard import pressed_keys
with pressed_keys() as keys:
    print('ready', flush=True)
    pressed = ''
    while len(pressed) < 4:
        pressed += keys()
print(repr(pressed), flush=True)
"""


def test_time_runs_at_its_rate():
    pace = Pace(2.0)
    pace.begin(BEGIN, 5 * SECOND)
    assert pace.position(8 * SECOND) == BEGIN + 6 * SECOND
    assert pace.wait(BEGIN + 10 * SECOND, 8 * SECOND) == pytest.approx(2.0)
    assert pace.wait(BEGIN, 8 * SECOND) == 0


def test_time_stands_still_in_a_pause_and_runs_on_from_there():
    pace = Pace(paused=True)
    pace.begin(BEGIN, 0)
    assert pace.position(7 * SECOND) == BEGIN
    assert pace.wait(BEGIN, 7 * SECOND) is None
    pace.pause(False, 7 * SECOND)
    assert pace.position(9 * SECOND) == BEGIN + 2 * SECOND


@given(steps=st.lists(st.tuples(moments, st.sampled_from(sorted(ACTS)))))
def test_no_change_lets_time_jump(steps):
    pace, now = Pace(), 0
    pace.begin(BEGIN, now)
    for passed, act in steps:
        now += passed
        before = pace.position(now)
        ACTS[act](pace, now)
        assert pace.position(now) == before
        assert pace.position(now + SECOND) >= before


def test_a_little_lateness_is_caught_up_and_a_large_one_lets_time_slip():
    pace = Pace()
    pace.begin(BEGIN, 0)
    pace.slip_if_late(BEGIN, SECOND // 50)
    assert pace.position(SECOND) == BEGIN + SECOND
    pace.slip_if_late(BEGIN, SECOND)
    assert pace.position(SECOND) == BEGIN
    assert pace.slipped_ns == SECOND


@pytest.mark.parametrize('rate', [
    0.0, -1.0, float('nan'), float('inf'), 1e300, 1001.0, 1e-300,
])
def test_a_rate_that_cannot_be_kept_is_rejected(rate):
    with pytest.raises(ValueError, match=r'rate .*from 0.001 to 1000'):
        Pace(rate)


def test_keys_are_read_one_by_one_and_the_terminal_is_restored():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, '-c', KEYS + 'import subprocess, os\n'
                                  "os.execvp('stty', ['stty', '-a'])"])
    output = b''
    while b'ready' not in output:
        output += os.read(terminal, 1000)
    os.write(terminal, b' \x1b[C')  # no line end, for which a terminal normally waits
    try:
        while chunk := os.read(terminal, 1000):
            output += chunk
    except OSError:  # the other end is closed
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert repr(' \x1b[C') in output.decode()
    assert ' icanon' in output.decode()
    assert '-icanon' not in output.decode()


def test_when_the_terminal_is_closed_no_key_is_pressed(tmp_path):
    code = f"""
import pathlib, signal
from m2vae_ros.replay.keyboard import pressed_keys
closed = []
signal.signal(signal.SIGHUP, lambda *about: closed.append(True))
with pressed_keys() as keys:
    print('ready', flush=True)
    while not closed:
        keys()
    pressed = keys()
pathlib.Path({str(tmp_path / 'pressed')!r}).write_text(repr(pressed))
"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, '-c', code])
    output = b''
    while b'ready' not in output:
        output += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / 'pressed').read_text() == "''"


def test_without_a_terminal_no_key_is_pressed():
    code = ('from m2vae_ros.replay.keyboard import pressed_keys\n'
            'with pressed_keys() as keys:\n    print(repr(keys()))')
    done = subprocess.run(
        [sys.executable, '-c', code], input='   ', capture_output=True, text=True,
    )
    assert done.stdout == "''\n", done.stderr
