# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a source of samples gives: samples to learn from, to choose by and to report on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.samples.dataset import SampleDataset


@dataclass(frozen=True)
class View:
    """A part of a sensor that is reported on its own."""

    name: str
    cells: NDArray[np.bool_] = field(compare=False)


@dataclass(frozen=True, eq=False)
class Splits:
    """
    Samples to learn from, to choose by and to report on.

    Parameters
    ----------
    training, validation, test
        The samples.
    description
        What they are, in JSON types, for the model's header: ``training``, ``validation``,
        ``test`` in words.
    views
        Sensor -> a part of it to report beside the whole.

    """

    training: SampleDataset
    validation: SampleDataset
    test: SampleDataset
    description: Mapping[str, Any]
    views: Mapping[str, View] = field(default_factory=dict)
