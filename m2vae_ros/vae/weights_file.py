# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The envelope of a ``.safetensors`` file, read without torch and without trust.

It begins with the length of its header (8 bytes, little-endian) and the header in JSON: tensor
name -> dtype, shape and place in the rest of the file; texts are under ``__metadata__``. Nothing
is allocated for what a file claims before the claim is held against the size of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import json
from math import isfinite, prod
from pathlib import Path
import reprlib
from typing import Any

LONGEST_HEADER = 4 * 1024 * 1024  # bytes; that of three sensors has some 20 kB
_DEEPEST = 32  # levels of nesting
_MOST_WEIGHTS = 2**30
_LONGEST_NAME = 200
_LONGEST_ERROR = 400
_LONGEST_VALUE = 80
_BYTES = {'F16': 2, 'BF16': 2, 'F32': 4}
_METADATA = '__metadata__'


class CheckpointError(ValueError):
    """A model file is missing, truncated, foreign or of another version; the text says which."""


@dataclass(frozen=True)
class WeightsFile:
    """
    What a file holds.

    Parameters
    ----------
    texts
        Its metadata.
    shapes
        Tensor -> shape.
    table
        Tensor -> dtype, shape and place, as the file has it.
    data_start, size
        Where the weights begin, and how large the file is, in bytes.

    """

    texts: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    table: Mapping[str, Any]
    data_start: int
    size: int


def printable(text: object, longest: int = _LONGEST_ERROR) -> str:
    """Return a text as it may be shown on a terminal: short, and without control characters."""
    whole = str(text)
    cut = whole if len(whole) <= longest else f'{whole[:longest]} ...'
    return ''.join(
        letter if letter.isprintable() else letter.encode('unicode_escape').decode()
        for letter in cut
    )


def shown(value: object) -> str:
    """Return a value as errors quote it."""
    return printable(reprlib.repr(value), _LONGEST_VALUE)


def parse_json(text: str) -> Any:
    """
    Parse JSON that was written by somebody else.

    Raises
    ------
    ValueError
        If it is none, or a key comes twice, a number is not finite, or it is nested too deep.

    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError:
        raise ValueError(f'nested deeper than {_DEEPEST} levels') from None
    level, depth = [value], 0
    while level := [
        inner for outer in level if isinstance(outer, (dict, list))
        for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f'nested deeper than {_DEEPEST} levels')
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'key {shown(key)} comes twice')
        found[key] = value
    return found


def _finite(number: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise ValueError(f'{shown(number)} is no finite number')
    return value


def read_envelope(path: str | Path) -> WeightsFile:
    """
    Read all of a file but its weights.

    Raises
    ------
    CheckpointError
        If it is no whole, well-formed file of floating-point tensors; says what was found.

    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f'{path}: cannot be read: it is no file')
        with path.open('rb') as file:
            size, length = path.stat().st_size, int.from_bytes(file.read(8), 'little')
            if not 2 <= length <= size - 8:
                raise CheckpointError(
                    f'{path}: not a whole .safetensors file: its header claims {length} bytes, '
                    f'the file has {max(size - 8, 0)}'
                )
            if length > LONGEST_HEADER:
                raise ValueError(f'a header of {length} bytes, at most {LONGEST_HEADER} are read')
            return _checked(parse_json(file.read(length).decode()), size, 8 + length)
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read: {error.strerror}') from error
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f'{path}: not a .safetensors file: {printable(error)}') from error


def digest(table: Mapping[str, Any], text: str, weights: bytes | memoryview) -> str:
    """
    Return the SHA-256 of a file's content.

    Parameters
    ----------
    table
        Tensor -> dtype, shape and place, as in the header; ``__metadata__`` does not count.
    text
        One of its texts.
    weights
        What follows the header.

    """
    tensors = {name: entry for name, entry in table.items() if name != _METADATA}
    found = hashlib.sha256(json.dumps(tensors, sort_keys=True).encode())
    found.update(text.encode(errors='surrogatepass'))
    found.update(weights)
    return found.hexdigest()


def _checked(header: Any, size: int, data_start: int) -> WeightsFile:
    if not isinstance(header, dict):
        raise ValueError(f'its header is {shown(header)}, must be a JSON object')
    texts = header.pop(_METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f'{_METADATA} must hold texts')
    shapes, places = {}, []
    for name, entry in header.items():
        tensor = shown(name)
        if len(name) > _LONGEST_NAME:
            raise ValueError(f'tensor {tensor}: a name has at most {_LONGEST_NAME} letters')
        if not isinstance(entry, dict) or set(entry) != {'dtype', 'shape', 'data_offsets'}:
            raise ValueError(f'tensor {tensor}: must have dtype, shape and data_offsets')
        shape, place = entry['shape'], entry['data_offsets']
        if not isinstance(entry['dtype'], str) or entry['dtype'] not in _BYTES:
            raise ValueError(
                f'tensor {tensor}: dtype {shown(entry["dtype"])} must be one of '
                f'{", ".join(_BYTES)}'
            )
        if not _sizes(shape) or len(shape) > 8:
            raise ValueError(f'tensor {tensor}: shape {shown(shape)} must list sizes')
        if not _sizes(place) or len(place) != 2:
            raise ValueError(f'tensor {tensor}: data_offsets {shown(place)} must be two')
        if place[1] - place[0] != prod(shape) * _BYTES[entry['dtype']]:
            raise ValueError(
                f'tensor {tensor}: shape {shown(shape)} of {entry["dtype"]} does not fill '
                f'bytes {shown(place)}'
            )
        shapes[name] = tuple(shape)
        places.append((place[0], place[1], tensor))
    end = 0
    for start, stop, tensor in sorted(places):
        if start != end:
            raise ValueError(f'tensor {tensor}: begins at byte {start}, must at {end}')
        end = stop
    if end != size - data_start:
        raise ValueError(
            f'damaged or cut off: weights have {end} bytes, the file has {size - data_start}'
        )
    weights = sum(map(prod, shapes.values()))
    if weights > _MOST_WEIGHTS:
        raise ValueError(f'{weights} weights: at most {_MOST_WEIGHTS} are read')
    return WeightsFile(texts, shapes, header, data_start, size)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(one) is int and 0 <= one < 2**62 for one in value
    )
