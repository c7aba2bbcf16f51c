# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The buffer in which a set crosses to a GPU; what runs on the GPU is in test_engine.py."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from hypothesis import given, strategies
import torch

from m2vae_ros.fusion.cuda_graphs import full_precision, layouts, views
from m2vae_ros.specs import SensorSpec

SIZES = strategies.integers(1, 9)
SHAPES = {
    'image': strategies.tuples(strategies.just(3), SIZES, SIZES),
    'laser_scan': strategies.tuples(SIZES),
    'point_cloud': strategies.tuples(SIZES, SIZES),
}


@strategies.composite
def sensors(draw):
    found = []
    for index in range(draw(strategies.integers(1, 8))):
        kind = draw(strategies.sampled_from(sorted(SHAPES)))
        shape = draw(SHAPES[kind])
        found.append(SensorSpec(f'sensor{index}', kind, 'topic', 'frame', shape, {}))
    return found


@given(sensors())
def test_arrays_lie_aligned_one_after_the_other(specs):
    found = layouts(specs)
    assert list(found) == [spec.name for spec in specs]
    pieces = [piece for layout in found.values() for piece in layout[2:]]
    for before, after in pairwise(pieces):
        assert before.stop <= after.start < before.stop + 16
    assert all(piece.start % 16 == 0 for piece in pieces)
    for spec, layout in zip(specs, found.values(), strict=True):
        assert layout.start == layout.values.start
        assert layout.stop >= layout.returned.stop
        assert layout.values.stop - layout.values.start == 4 * prod(spec.shape)


@given(sensors())
def test_what_is_written_to_one_array_is_read_from_it_alone(specs):
    found = layouts(specs)
    buffer = torch.zeros(max(layout.stop for layout in found.values()), dtype=torch.uint8)
    batches = {spec.name: views(buffer, found[spec.name], spec) for spec in specs}
    for index, batch in enumerate(batches.values()):
        batch.values.fill_(index + 0.5)
        batch.valid.fill_(index % 2 == 0)
        batch.returned.fill_(index % 3 == 0)
    for index, (spec, batch) in enumerate(zip(specs, batches.values(), strict=True)):
        assert batch.values.shape == (1, *spec.shape)
        assert batch.valid.shape == batch.returned.shape == (1, *spec.spatial_shape)
        assert (batch.values == index + 0.5).all()
        assert (batch.valid == (index % 2 == 0)).all()
        assert (batch.returned == (index % 3 == 0)).all()


def test_full_precision_puts_the_setting_back():
    before = torch.backends.cudnn.allow_tf32
    with full_precision():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
