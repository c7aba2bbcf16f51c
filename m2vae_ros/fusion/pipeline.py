# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
From messages to results: decode, synchronise, infer; the same code live and offline.

`receive` and `poll` are for the thread of the callbacks, `fuse` is for the worker's; they write
nothing in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from m2vae_ros.fusion.engine import Engine
from m2vae_ros.fusion.synchronizer import FusedSet, Synchronizer
from m2vae_ros.fusion.timing import TimingWindow
from m2vae_ros.sensors.image_file import MAX_PIXELS
from m2vae_ros.sensors.kinds import decode, validate
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset


@dataclass(frozen=True, eq=False)
class Result:
    """
    What was inferred from a fused set.

    Parameters
    ----------
    stamp_ns
        The set's stamp: the newest corrected stamp in it, nanoseconds.
    sensors
        The sensors that were fused, in the model's order.
    posterior
        q(z|x_S), calibrated, on the CPU, tensors ``(1, latent)``.
    reconstructions
        Sensor -> what it is expected to see: the decoder's mean at the posterior's mean.

    """

    stamp_ns: int
    sensors: Subset
    posterior: DiagonalGaussian
    reconstructions: Mapping[str, Measurement]


class Pipeline:
    """
    Decoding, synchronizer and engine for the sensors of one model.

    Parameters
    ----------
    model
        The trained model.
    device, temperatures
        See `Engine`.
    max_image_pixels
        Larger images are invalid; see `decode`.
    synchronizer
        Options of `Synchronizer`.

    Attributes
    ----------
    on_measurement
        Called with the sensor and the measurement of each valid message; None = not called.
    timing
        The last stamps and arrivals of valid messages.

    Raises
    ------
    ValueError
        If a sensor of the model, the device, a temperature or an option breaks its rule.

    """

    def __init__(
        self,
        model: M2VAE,
        *,
        device: str = 'auto',
        temperatures: Mapping[Subset, float] | None = None,
        max_image_pixels: int = MAX_PIXELS,
        **synchronizer: Any,
    ) -> None:
        for spec in model.sensors:
            validate(spec)
        self.engine = Engine(model, device=device, temperatures=temperatures)
        self.synchronizer = Synchronizer(model.names, **synchronizer)
        self.timing = TimingWindow(model.names)
        self.engine.warm()
        self._specs = {spec.name: spec for spec in model.sensors}
        self._max_image_pixels = max_image_pixels
        self._invalid: dict[str, Counter[str]] = {name: Counter() for name in model.names}
        self._first_invalid: dict[str, dict[str, str]] = {name: {} for name in model.names}
        self._last_invalid = dict.fromkeys(model.names, '')
        self._withdrawn = dict.fromkeys(model.names, 0)
        self._untrained: Counter[Subset] = Counter()
        self.on_measurement: Callable[[str, Measurement], None] | None = None

    @property
    def device_report(self) -> str:
        """Which device is used, and why not the GPU, as a sentence."""
        return self.engine.device_report

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""
        return self.synchronizer.next_deadline_ns

    @property
    def invalid(self) -> dict[str, dict[str, int]]:
        """Sensor -> rule -> how many messages broke it."""
        return {name: dict(counts) for name, counts in self._invalid.items()}

    @property
    def first_invalid(self) -> dict[str, dict[str, str]]:
        """Sensor -> rule -> what was wrong with the first message that broke it."""
        return {name: dict(reasons) for name, reasons in self._first_invalid.items()}

    @property
    def last_invalid(self) -> dict[str, str]:
        """Sensor -> what was wrong with its last invalid message, empty if there was none."""
        return dict(self._last_invalid)

    @property
    def withdrawn(self) -> dict[str, int]:
        """Sensor -> how many of its messages turned out invalid after they had been accepted."""
        return dict(self._withdrawn)

    @property
    def untrained(self) -> dict[Subset, int]:
        """Sensors of a set that contains no trained subset -> how many such sets."""
        return dict(self._untrained)

    def live(self, now_ns: int) -> Subset:
        """Return the sensors that are live at a time; see `Synchronizer.live`."""
        return self.synchronizer.live(now_ns)

    def receive(self, sensor: str, message: Any, now_ns: int) -> list[FusedSet]:
        """
        Take a message; return the sets that are emitted because of it, oldest first.

        An invalid message is counted by its rule; it raises nothing.

        Raises
        ------
        ValueError
            If the model has no such sensor.

        """
        try:
            measurement = self.decode(sensor, message)
        except InvalidMessage as error:
            self.reject(sensor, error)
            return self.synchronizer.poll(now_ns)
        if self.on_measurement is not None:
            self.on_measurement(sensor, measurement)
        return self.accept(sensor, measurement.stamp_ns, measurement, now_ns)

    def decode(self, sensor: str, message: Any) -> Measurement:
        """
        Return the measurement in a message; nothing is remembered, so any thread may call it.

        Raises
        ------
        InvalidMessage
            If it has none.
        ValueError
            If the model has no such sensor.

        """
        if sensor not in self._specs:
            raise ValueError(f'sensor {sensor!r}: the model has {", ".join(self._specs)}')
        return decode(self._specs[sensor], message, max_image_pixels=self._max_image_pixels)

    def reject(self, sensor: str, error: InvalidMessage, *, accepted: bool = False) -> None:
        """Count an invalid message by the rule that it broke, and whether it was accepted."""
        self._withdrawn[sensor] += accepted
        self._invalid[sensor][error.rule] += 1
        self._first_invalid[sensor].setdefault(error.rule, str(error))
        self._last_invalid[sensor] = str(error)

    def accept(self, sensor: str, stamp_ns: int, item: Any, now_ns: int) -> list[FusedSet]:
        """
        Take a measurement, or what stands for it until its set is fused.

        Returns the sets that are emitted because of it, oldest first.
        """
        self.timing.note(sensor, stamp_ns, now_ns)
        return self.synchronizer.add(sensor, stamp_ns, item, now_ns)

    def settled(
        self, fused_set: FusedSet, content: Callable[[Any], Measurement | None]
    ) -> FusedSet | None:
        """
        Return a set with the measurements that its items stand for; None if there are none.

        Parameters
        ----------
        fused_set
            A set of what `accept` was given.
        content
            Returns the measurement that an item stands for, or None.

        """
        found = {name: content(item) for name, item in fused_set.items.items()}
        items = {name: item for name, item in found.items() if item is not None}
        if len(items) == len(found):
            return FusedSet(fused_set.stamp_ns, items)
        if not items:
            return None
        offsets = self.synchronizer.offsets
        stamp_ns = max(
            item.stamp_ns - round(offsets[name] * 1e9) for name, item in items.items()
        )
        return FusedSet(stamp_ns, items)

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up, oldest first."""
        return self.synchronizer.poll(now_ns)

    def fuse(self, fused_set: FusedSet, *, reconstruct: Sequence[str] = ()) -> Result | None:
        """
        Infer the posterior, and reconstructions, from a set.

        Where no encoder was trained for exactly its sensors, the largest trained subset of them
        is fused; where there is none, the set is counted in `untrained` and None is returned.

        Parameters
        ----------
        fused_set
            A set of Measurements.
        reconstruct
            Sensors to reconstruct.

        Raises
        ------
        ValueError
            If the model has no such sensor to reconstruct.

        """
        sensors = tuple(fused_set.items)
        subset = self.engine.subset_for(sensors)
        if subset is None:
            self._untrained[sensors] += 1
            return None
        posterior, reconstructions = self.engine.fuse(
            {name: fused_set.items[name] for name in subset},
            reconstruct=reconstruct,
            stamp_ns=fused_set.stamp_ns,
        )
        return Result(fused_set.stamp_ns, subset, posterior, reconstructions)

    def close(self) -> None:
        """Free the device."""
        self.engine.close()
