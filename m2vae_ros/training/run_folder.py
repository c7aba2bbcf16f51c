# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The folder of a training: its logs, and the checkpoint from which it can be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import fcntl
import io
import json
import os
from pathlib import Path
import pickle
import tempfile
from typing import Any

from lightning.fabric.plugins import CheckpointIO
import torch

IDENTITY = 'm2vae_training'  # key of a checkpoint: JSON of everything that determines the result
_UNFINISHED_PREFIX = '.writing.'


@dataclass(frozen=True)
class RunFolder:
    """
    The folder of a training, ``<model>.run`` beside the model.

    Parameters
    ----------
    path
        Path of the folder; it need not exist.

    """

    path: Path

    @classmethod
    def of(cls, model: Path) -> RunFolder:
        """Return the folder of the training that writes a model file."""
        return cls(model.with_suffix('.run'))

    @property
    def last(self) -> Path:
        """Path of the newest checkpoint."""
        return self.path / 'checkpoints' / 'last.ckpt'

    @property
    def best(self) -> Path:
        """Path of the weights of the best validation, written if `patience` is set."""
        return self.path / 'checkpoints' / 'best.ckpt'

    @property
    def logs(self) -> Path:
        """Path of the folder in which each session has its own folder of logs."""
        return self.path / 'logs'

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        Hold the right to write the folder; it ends with the process, however that ends.

        Raises
        ------
        ValueError
            If another training holds it.

        """
        folder = self._open_locked()
        try:
            yield
        finally:
            with suppress(OSError):
                self.path.rmdir()  # where nothing was written
            os.close(folder)

    def _open_locked(self) -> int:
        """Return a descriptor of the folder that holds its lock."""
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.path.exists() and os.path.samestat(os.fstat(folder), self.path.stat()):
                    return folder
            except BlockingIOError:
                os.close(folder)
                raise ValueError(
                    f'{self.path}: another training is writing to it: wait until it has ended, '
                    f'or give another --out'
                ) from None
            os.close(folder)  # its owner has removed it meanwhile

    def step_to_resume(self, identity: Mapping[str, Any]) -> int | None:
        """
        Return the step of the newest checkpoint, or None if there is none.

        Parameters
        ----------
        identity
            Everything that determines the result of the training, in JSON types.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or one of another training; names what differs.

        """
        if not self.last.exists():
            return None
        checkpoint = read_checkpoint(self.last)
        try:
            before = json.loads(checkpoint[IDENTITY])
            step = int(checkpoint['global_step'])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{self.last}: not a checkpoint of m2vae train: remove it, or leave out --resume'
            ) from error
        differing = '; '.join(_differences(before, json.loads(json.dumps(identity))))
        if differing:
            raise ValueError(
                f'{self.last}: of another training: {differing}. Give the values it was started '
                f'with, or leave out --resume to start again'
            )
        return step

    def clear(self) -> None:
        """Remove the checkpoints of an earlier training, unfinished ones included."""
        for path in (self.last, self.best):
            path.unlink(missing_ok=True)
        self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove checkpoints that a killed process did not finish writing."""
        for path in self.last.parent.glob(f'{_UNFINISHED_PREFIX}*'):
            path.unlink(missing_ok=True)


class AtomicCheckpoints(CheckpointIO):  # type: ignore[misc]
    """
    Writes checkpoints atomically, and reads them without running code from them.

    Lightning's own are written to the temporary folder and moved, which is a copy if that is on
    another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint under another name, then rename it."""
        path = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        beside = ''
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(prefix=_UNFINISHED_PREFIX, dir=path.parent)
            with os.fdopen(handle, 'wb') as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(beside, 0o666 & ~mask)
            os.replace(beside, path)
        except BaseException as error:
            if beside:
                with suppress(FileNotFoundError):
                    os.unlink(beside)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, see `read_checkpoint`."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """
    Read a checkpoint's tensors and plain values to the CPU; no code in it is run.

    Raises
    ------
    ValueError
        If it is damaged or holds anything else.

    """
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(
            f'{path}: damaged, or not a checkpoint of m2vae train: remove it, or leave out '
            f'--resume'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path}: not a checkpoint of m2vae train: remove it')
    return checkpoint


def _differences(before: Any, now: Any, name: str = '') -> list[str]:
    """Return lines like 'options.seed was 0, is 3' for what differs between JSON objects."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in {**before, **now}
            for line in _differences(
                before.get(key), now.get(key), f'{name}.{key}' if name else key
            )
        ]
    return [] if before == now else [f'{name} was {_short(before)}, is {_short(now)}']


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
