# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The layout of a ``.safetensors`` file, read without torch and without trusting the file.

A file begins with the length of its header (8 bytes, little-endian) and the header in JSON: tensor
name -> dtype, shape and offsets in the rest of the file, and texts under ``__metadata__``. Nothing
is allocated for what a header claims before the claim is checked against the size of the file.
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

MAX_HEADER_BYTES = 4 * 1024 * 1024  # that of three sensors has some 20 kB
_MAX_NESTING = 32  # levels of JSON
_MAX_WEIGHTS = 2**30
_MAX_NAME_LENGTH = 200
_MAX_ERROR_LENGTH = 400
_MAX_VALUE_LENGTH = 80
_MAX_AXES = 8
_DTYPE_BYTES = {'F16': 2, 'BF16': 2, 'F32': 4}
_METADATA = '__metadata__'


class CheckpointError(ValueError):
    """A model file is missing, damaged, foreign or of another version; the message says which."""


@dataclass(frozen=True)
class Layout:
    """
    Everything in a ``.safetensors`` file but the weights.

    Parameters
    ----------
    metadata
        Its texts.
    shapes
        Tensor -> shape.
    table
        Tensor -> dtype, shape and offsets, as in the file's header.
    data_start, size
        Where the weights begin and how large the file is, in bytes.

    Examples
    --------
    >>> import tempfile
    >>> header = b'{"gain": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     written = file.write(len(header).to_bytes(8, 'little') + header + bytes(8))
    ...     file.flush()
    ...     Layout.read(file.name).shapes
    {'gain': (2,)}

    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    table: Mapping[str, Any]
    data_start: int
    size: int

    @classmethod
    def read(cls, path: str | Path) -> Layout:
        """
        Read a file but for its weights.

        Raises
        ------
        CheckpointError
            If it is not a complete, well-formed file of floating-point tensors; says what was
            found.

        """
        path = Path(path)
        try:
            if path.exists() and not path.is_file():
                raise CheckpointError(f'{path}: cannot be read: it is not a file')
            with path.open('rb') as file:
                size, length = path.stat().st_size, int.from_bytes(file.read(8), 'little')
                if not 2 <= length <= size - 8:
                    raise CheckpointError(
                        f'{path}: not a whole .safetensors file: its header claims {length} '
                        f'bytes, the file has {max(size - 8, 0)}'
                    )
                if length > MAX_HEADER_BYTES:
                    raise ValueError(
                        f'its header has {length} bytes, at most {MAX_HEADER_BYTES} are read'
                    )
                return _parse_header(parse_json(file.read(length).decode()), size, 8 + length)
        except OSError as error:
            raise CheckpointError(f'{path}: cannot be read: {error.strerror}') from error
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(
                f'{path}: not a .safetensors file: {printable(error)}'
            ) from error


def printable(text: object, max_length: int = _MAX_ERROR_LENGTH) -> str:
    r"""
    Return a text that is safe to print on a terminal: short, control characters escaped.

    Examples
    --------
    >>> print(printable('camera' + chr(27) + '[2J', max_length=8))
    camera\x1b[ ...

    """
    whole = str(text)
    cut = whole if len(whole) <= max_length else f'{whole[:max_length]} ...'
    return ''.join(
        letter if letter.isprintable() else letter.encode('unicode_escape').decode()
        for letter in cut
    )


def quoted(value: object) -> str:
    """
    Return the representation of a value for an error message: short and printable.

    Examples
    --------
    >>> print(quoted('x' * 1000))
    'xxxxxxxxxxxx...xxxxxxxxxxxxx'

    """
    return printable(reprlib.repr(value), _MAX_VALUE_LENGTH)


def parse_json(text: str) -> Any:
    """
    Parse JSON from an untrusted source.

    Raises
    ------
    ValueError
        If it is not JSON, a key occurs twice, a number is not finite, or it is nested too deeply.

    Examples
    --------
    >>> parse_json('{"latent_size": 96}')
    {'latent_size': 96}
    >>> parse_json('{"latent_size": 96, "latent_size": 8}')
    Traceback (most recent call last):
    ValueError: key 'latent_size' occurs twice

    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError:
        raise ValueError(f'nested deeper than {_MAX_NESTING} levels') from None
    level, depth = [value], 0
    while level := [
        inner for outer in level if isinstance(outer, (dict, list))
        for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > _MAX_NESTING:
            raise ValueError(f'nested deeper than {_MAX_NESTING} levels')
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise ValueError(f'key {quoted(key)} occurs twice')
        entries[key] = value
    return entries


def _finite(number: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise ValueError(f'{quoted(number)} is not a finite number')
    return value


def digest(table: Mapping[str, Any], text: str, weights: bytes | memoryview) -> str:
    """
    Return the SHA-256 of a file's content.

    Parameters
    ----------
    table
        The file's header, tensor -> dtype, shape and offsets; ``__metadata__`` is left out.
    text
        The text in its metadata that the digest covers.
    weights
        The bytes after the header.

    Examples
    --------
    >>> digest({}, 'text', b'weights')[:8]
    '32b9ff7a'

    """
    tensors = {name: entry for name, entry in table.items() if name != _METADATA}
    hashed = hashlib.sha256(json.dumps(tensors, sort_keys=True).encode())
    hashed.update(text.encode(errors='surrogatepass'))
    hashed.update(weights)
    return hashed.hexdigest()


def _parse_header(header: Any, size: int, data_start: int) -> Layout:
    if not isinstance(header, dict):
        raise ValueError(f'its header is {quoted(header)}, must be a JSON object')
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError(f'{_METADATA} must be an object of texts')
    shapes, spans = {}, []
    for name, entry in header.items():
        tensor = quoted(name)
        if len(name) > _MAX_NAME_LENGTH:
            raise ValueError(f'tensor {tensor}: a name has at most {_MAX_NAME_LENGTH} letters')
        if not isinstance(entry, dict) or set(entry) != {'dtype', 'shape', 'data_offsets'}:
            raise ValueError(f'tensor {tensor}: must have dtype, shape and data_offsets')
        shape, span = entry['shape'], entry['data_offsets']
        if not isinstance(entry['dtype'], str) or entry['dtype'] not in _DTYPE_BYTES:
            raise ValueError(
                f'tensor {tensor}: dtype {quoted(entry["dtype"])} must be one of '
                f'{", ".join(_DTYPE_BYTES)}'
            )
        if not _are_sizes(shape) or len(shape) > _MAX_AXES:
            raise ValueError(
                f'tensor {tensor}: shape {quoted(shape)} must be a list of sizes, at most '
                f'{_MAX_AXES}'
            )
        if not _are_sizes(span) or len(span) != 2:
            raise ValueError(f'tensor {tensor}: data_offsets {quoted(span)} must be two numbers')
        if span[1] - span[0] != prod(shape) * _DTYPE_BYTES[entry['dtype']]:
            raise ValueError(
                f'tensor {tensor}: shape {quoted(shape)} of {entry["dtype"]} does not fill '
                f'bytes {quoted(span)}'
            )
        shapes[name] = tuple(shape)
        spans.append((span[0], span[1], tensor))
    end = 0
    for start, stop, tensor in sorted(spans):
        if start != end:
            raise ValueError(f'tensor {tensor}: starts at byte {start}, must start at {end}')
        end = stop
    if end != size - data_start:
        raise ValueError(
            f'damaged or cut off: the header lists {end} bytes of weights, the file has '
            f'{size - data_start}'
        )
    weights = sum(map(prod, shapes.values()))
    if weights > _MAX_WEIGHTS:
        raise ValueError(f'{weights} weights: at most {_MAX_WEIGHTS} are read')
    return Layout(metadata, shapes, header, data_start, size)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 2**62 for size in value
    )
