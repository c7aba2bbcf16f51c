# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie: installed, or in the source checkout it runs from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError


def shared_file(*parts: str) -> Path:
    """
    Return the path of a file that the package installs, such as ``config/fusion.yaml``.

    Raises
    ------
    FileNotFoundError
        If it is in neither place; says where it was looked for.

    """
    relative = Path(*parts)
    places = [Path(__file__).resolve().parents[2]]
    with suppress(PackageNotFoundError):
        places.insert(0, Path(get_package_share_directory('m2vae_ros')))
    for place in places:
        if (place / relative).is_file():
            return place / relative
    raise FileNotFoundError(
        f'no {relative} in {" or ".join(map(str, places))}: build the package anew'
    )
