# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Small model files taken apart and put together wrongly, and limits for loading them."""

from __future__ import annotations

from contextlib import contextmanager
import json
import resource
import time

import pytest

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import METADATA_KEY
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.weights_file import CheckpointError

SENSORS = (
    SensorSpec('camera', 'image', 'camera/image_raw', 'camera', (3, 4, 4)),
    SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (8,), {
        'angle_min': -3.0, 'angle_max': 3.0, 'range_min': 0.1, 'range_max': 10.0,
    }),
)
MAX_BYTES = 500e6  # beyond what the process has already
MAX_SECONDS = 10.0  # of processor time, on a busy machine
LONG = 'x' * 2_000_000
ESCAPE = 'a\x1b]0;owned\x07\x1b[2J'


def small_model():
    return M2VAE(SENSORS, Architecture(latent_size=2, feature_size=4, hidden_size=4)).eval()


def content_of(model, path):
    """Return the content of a model's file."""
    header = checkpoint.describe(
        model, provenance={'seed': 3}, calibration={'temperature': {'camera': 2.0}})
    checkpoint.save(path, model, header)
    return path.read_bytes()


def split(content):
    """Return the file's header, the model's header in it (both from JSON), and the weights."""
    start = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:start])
    return header, json.loads(header['__metadata__'][METADATA_KEY]), content[start:]


def joined(header, ours, weights):
    """Return the file's content, without a digest, which an attacker could compute as well."""
    text = ours if isinstance(ours, str) else json.dumps(ours)
    return with_header(
        json.dumps({**header, '__metadata__': {METADATA_KEY: text}}).encode(), weights)


def with_header(text, weights=b''):
    """Return the content of a file with this text as its header."""
    return len(text).to_bytes(8, 'little') + text + weights


def rejection(path, content):
    """Return why a file is rejected: one short printable line, in little time and memory."""
    path.write_bytes(content)
    with bounded(), pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    reason = str(caught.value)
    assert reason.startswith(str(path))
    assert len(reason) < len(str(path)) + 700
    assert reason.isprintable()
    return reason


@contextmanager
def bounded():
    """Limit the memory and the processor time of what runs inside."""
    with open('/proc/self/statm') as pages:
        used = int(pages.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    start = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (int(used + MAX_BYTES), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - start < MAX_SECONDS
