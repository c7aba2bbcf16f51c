# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Damaged and changed model files load as they were written, or are rejected in one line."""

from __future__ import annotations

from copy import deepcopy
import json
from pathlib import Path
import random

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
import pytest
import torch

from m2vae_ros.fusion.engine import blank, Engine
from m2vae_ros.vae import checkpoint
from m2vae_ros.weights_file import CheckpointError
from support.hostile_files import bounded, content_of, ESCAPE, joined, LONG, small_model, split

SHIPPED = Path(__file__).resolve().parents[1] / 'config' / 'models' / 'default.safetensors'


@pytest.fixture(scope='module')
def model():
    return small_model()


@pytest.fixture(scope='module')
def content(model, tmp_path_factory):
    return content_of(model, tmp_path_factory.mktemp('model') / 'm.safetensors')


def loaded_or_none(path):
    """Return the checkpoint, or None where the file is rejected in one printable line."""
    with bounded():
        try:
            return checkpoint.load(path)
        except CheckpointError as error:
            reason = str(error)
    assert reason.isprintable()
    return None


def same(loaded, model, content):
    """Return whether a loaded checkpoint is the one that was written."""
    state, wanted = loaded.model.state_dict(), model.state_dict()
    return loaded.header.to_json() == json.dumps(split(content)[1]) and all(
        torch.equal(state[name], wanted[name].half().float() if '.' in name else wanted[name])
        or torch.equal(state[name], wanted[name]) for name in wanted
    )


@settings(max_examples=300, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_loads_as_it_was_written_or_not_at_all(tmp_path, model, content, data):
    changed = bytearray(content)
    kind = data.draw(st.sampled_from(['flip', 'cut', 'insert', 'remove', 'overwrite']))
    offset = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 3000))
    offset = min(offset, len(content) - 1)
    if kind == 'flip':
        changed[offset] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == 'cut':
        del changed[offset:]
    elif kind == 'insert':
        changed[offset:offset] = data.draw(st.binary(min_size=1, max_size=9))
    elif kind == 'remove':
        del changed[offset:offset + data.draw(st.integers(1, 9))]
    else:
        new = data.draw(st.binary(min_size=1, max_size=9))
        changed[offset:offset + len(new)] = new
    path = tmp_path / 'm.safetensors'
    path.write_bytes(bytes(changed))
    loaded = loaded_or_none(path)
    assert loaded is None or same(loaded, model, content)


def test_no_damaged_bit_of_the_shipped_model_goes_unnoticed(tmp_path):
    content, path = SHIPPED.read_bytes(), tmp_path / 'damaged.safetensors'
    assert checkpoint.load(SHIPPED).has_digest
    rng = random.Random(1)
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            checkpoint.load(path)


def without_digest(content):
    """Return a file as older versions wrote it."""
    table, ours, weights = split(content)
    return joined(table, ours, weights)


def test_a_digest_is_added_and_nothing_else_changes(tmp_path, model, content):
    path = tmp_path / 'm.safetensors'
    path.write_bytes(without_digest(content))
    assert not checkpoint.load(path).has_digest
    assert checkpoint.add_digest(path)
    loaded = checkpoint.load(path)
    assert loaded.has_digest
    assert same(loaded, model, content)
    assert split(path.read_bytes()) == split(content)
    whole = path.read_bytes()
    assert not checkpoint.add_digest(path)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_no_digest_is_added_to_what_is_no_model(tmp_path, content):
    path = tmp_path / 'm.safetensors'
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match='SHA-256'):
        checkpoint.add_digest(path)
    assert path.read_bytes() == damaged


def paths(value, prefix=()):
    """Yield the path of keys and indices to every part of a JSON value."""
    yield prefix
    inner = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from paths(part, (*prefix, key))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**9, -1, 2**63, 10**40, LONG, '', 'camera', '../x', ESCAPE, 1e308]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_json_makes_a_model_or_one_clear_error(tmp_path, content, data):
    header, ours, weights = split(content)
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from([ours, header]))
        *steps, last = data.draw(st.sampled_from([p for p in paths(target) if p]))
        for step in steps:
            target = target[step]
        how = data.draw(st.sampled_from(['replace', 'remove', 'add']))
        if how == 'replace':
            target[last] = data.draw(ANYTHING)
        elif how == 'remove':
            del target[last]
        elif isinstance(target, dict):
            target[data.draw(st.text(max_size=9))] = data.draw(ANYTHING)
        else:
            target.append(deepcopy(data.draw(ANYTHING)))
    path = tmp_path / 'm.safetensors'
    path.write_bytes(joined(header, ours, weights))
    loaded = loaded_or_none(path)
    if loaded is None:
        return
    engine = Engine(loaded.model, device='cpu')  # a header that loads describes a model that runs
    for subset in loaded.model.trained_subsets:
        measurements = {name: blank(loaded.model.sensor(name)) for name in subset}
        posterior, reconstructed = engine.fuse(measurements, reconstruct=loaded.model.names)
        assert bool(posterior.mean.isfinite().all())
        assert set(reconstructed) == set(loaded.model.names)
