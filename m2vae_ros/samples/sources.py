# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What every source of samples returns: training, validation and test samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.samples.dataset import SampleDataset


@dataclass(frozen=True)
class View:
    """
    A part of a sensor whose errors are also reported on their own, such as ``lidar/front``.

    Parameters
    ----------
    name
        Name of the part, ``front``.
    cells
        Which cells belong to it, bool ``spatial_shape``.

    """

    name: str
    cells: NDArray[np.bool_] = field(compare=False)


@dataclass(frozen=True, eq=False)
class SplitSamples:
    """
    Training, validation and test samples of one source.

    Parameters
    ----------
    training
        Samples to learn from.
    validation
        Samples to choose the best weights by and to fit temperatures on.
    test
        Samples to report errors and coverage on.
    description
        Where they come from, in JSON types, for the model's header: a sentence each under
        ``training``, ``validation`` and ``test``, and entries of the source's own.
    views
        Sensor -> a part of it to report beside the whole.

    """

    training: SampleDataset
    validation: SampleDataset
    test: SampleDataset
    description: Mapping[str, Any]
    views: Mapping[str, View] = field(default_factory=dict)
