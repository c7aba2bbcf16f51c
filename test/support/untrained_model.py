# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model file for tests that do not care what the model says."""

from __future__ import annotations

from pathlib import Path

import torch

from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import Architecture, M2VAE

TEMPERATURE = 1e6  # of every subset: no untrained posterior is as wide by itself


def save_untrained_model(folder: Path) -> Path:
    """Write a small model of the simulated robot's sensors, untrained and calibrated."""
    path = folder / 'untrained.safetensors'
    torch.manual_seed(0)  # some weights reconstruct scans without any return
    model = M2VAE(SENSORS, Architecture(latent_size=8, feature_size=16, hidden_size=16))
    calibration = {'temperature': {'+'.join(s): TEMPERATURE for s in model.trained_subsets}}
    checkpoint.save(path, model, checkpoint.describe(model, calibration=calibration))
    return path
