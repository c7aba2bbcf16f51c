# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The multi-modal variational autoencoder and its mathematics; torch, no ROS, no OpenCV.

These names are for users of the package, see `docs/python.md`; the package's own modules import a
name from the module that defines it.
"""

from __future__ import annotations

from m2vae_ros.public import lazy_exports

_EXPORTS = {
    'Architecture': 'm2vae_ros.vae.model',
    'Checkpoint': 'm2vae_ros.vae.checkpoint',
    'CheckpointError': 'm2vae_ros.weights_file',
    'DiagonalGaussian': 'm2vae_ros.vae.gaussian',
    'Estimate': 'm2vae_ros.vae.importance',
    'Knobs': 'm2vae_ros.vae.objectives',
    'Likelihood': 'm2vae_ros.vae.likelihoods',
    'M2VAE': 'm2vae_ros.vae.model',
    'ModelHeader': 'm2vae_ros.vae.header',
    'MultimodalVAE': 'm2vae_ros.vae.multimodal',
    'Normalisation': 'm2vae_ros.vae.networks',
    'SensorBatch': 'm2vae_ros.vae.likelihoods',
    'Subset': 'm2vae_ros.vae.subsets',
    'Summary': 'm2vae_ros.vae.estimators',
    'bound': 'm2vae_ros.vae.objectives',
    'conditional': 'm2vae_ros.vae.estimators',
    'describe': 'm2vae_ros.vae.checkpoint',
    'lattice': 'm2vae_ros.vae.subsets',
    'load': 'm2vae_ros.vae.checkpoint',
    'log_likelihood': 'm2vae_ros.vae.estimators',
    'm2vae_weight': 'm2vae_ros.vae.subsets',
    'normalised_beta': 'm2vae_ros.vae.objectives',
    'predictive': 'm2vae_ros.vae.estimators',
    'reconstructions': 'm2vae_ros.vae.terms',
    'required_subsets': 'm2vae_ros.vae.terms',
    'save': 'm2vae_ros.vae.checkpoint',
    'summarise': 'm2vae_ros.vae.estimators',
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
