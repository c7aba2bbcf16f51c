# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure the engine on a CUDA GPU: one set at a time as on a robot, and many at once as offline.

* One set, from NumPy arrays to NumPy arrays, for the full subset, without and with all
  reconstructions: kernels launched one by one (eager), and recorded as CUDA graphs, in float32
  and in bfloat16. Beside each latency stand the number of kernels, the sum of their times, the
  time of a graph replayed back to back (its trunks run side by side), and the largest difference
  from the CPU, in standard deviations of the CPU's posterior. Contenders take turns.
* Many sets at once: sets a second by the size of the batch, against eager batches of one.

    python benchmarks/gpu.py --out benchmarks/results/gpu.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
import shlex
from statistics import median
import sys
import time
from typing import Any

import numpy as np
from results import bar, table, write
import torch
from torch.profiler import profile, ProfilerActivity

from m2vae_ros.fusion.engine import Engine
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.checkpoint import load
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE

ROOT = Path(__file__).resolve().parents[1]
BATCHES = (1, 4, 16, 64, 256, 1024)
SETS_PER_ROUND = 50
REPLAYS = 200
LATENCY_BAR = 1.3  # times the kernels' time
THROUGHPUT_BAR = 10  # times eager batches of one


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n\n')[0])
    parser.add_argument('--model', default=str(ROOT / 'config/models/default.safetensors'))
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--out', type=Path, help='record to write; none = print only')
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print('gpu.py: this torch sees no CUDA GPU; run it on a machine with one', file=sys.stderr)
        return 2
    started = time.monotonic()
    contenders = make_contenders(arguments.model)
    latencies = [measure_latency(contenders, arguments.rounds, everything=everything)
                 for everything in (False, True)]
    many, gain = measure_throughput(arguments.model)
    graph = {row[0]: row for row in latencies[0]}['graph']
    tables = [
        table('One set: the posterior of all sensors', LATENCY_COLUMNS, latencies[0]),
        table('One set: the posterior and all reconstructions', LATENCY_COLUMNS, latencies[1]),
        table('Many sets at once', THROUGHPUT_COLUMNS, many,
              'Arrays are on the GPU already; the posterior of all sensors.'),
    ]
    ratio = graph[2] / graph[4]
    bars = [
        bar(f'latency of one set within {LATENCY_BAR}x of the time of its kernels',
            f'{ratio:.2f}x', ratio <= LATENCY_BAR),
        bar(f'{THROUGHPUT_BAR}x the sets a second of eager batches of one', f'{gain:.0f}x',
            gain >= THROUGHPUT_BAR),
    ]
    for one in tables:
        print(one['title'], one['note'], sep='\n')
        for row in (one['columns'], *one['rows']):
            print('  '.join(f'{cell!s:>22}' for cell in row))
    print(*bars, sep='\n')
    if arguments.out:
        card = torch.cuda.get_device_name()
        write(arguments.out, 'gpu', f'python {shlex.join(sys.argv)}', started, tables, bars,
              machine=f'one {card}, torch {torch.__version__}')
    return 0


LATENCY_COLUMNS = (
    'engine', 'kernels', 'p50, us', 'p99, us', 'kernel time, us', 'replay, us',
    'difference of means, std', 'difference of log variances',
)
THROUGHPUT_COLUMNS = ('engine', 'batch', 'sets a second', 'times eager batches of one')


def make_contenders(path: str) -> dict[str, Engine]:
    """Return name -> engine, warm."""
    contenders = {}
    for name, graphs, half in (
        ('eager', False, False), ('graph', True, False), ('graph, bfloat16', True, True),
    ):
        engine = Engine(load(path).model, device='cuda', graphs=graphs)
        with torch.autocast('cuda', torch.bfloat16) if half else nullcontext():
            engine.warm()
        print(f'{name}: {engine.device_report}', flush=True)
        contenders[name] = engine
    return contenders


def measure_latency(
    contenders: dict[str, Engine], rounds: int, *, everything: bool
) -> list[list[Any]]:
    """Return the rows of a table of latencies."""
    model = contenders['eager'].model
    generator = np.random.default_rng(0)
    sets = [{spec.name: random_measurement(spec, generator) for spec in model.sensors}
            for _ in range(8)]
    targets = model.names if everything else ()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, engine in contenders.items():
            for index in range(SETS_PER_ROUND):
                began = time.perf_counter()
                engine.fuse(sets[index % len(sets)], reconstruct=targets)
                times[name].append(1e6 * (time.perf_counter() - began))
    host = Engine(M2VAE(model.sensors, model.architecture, model.trained_subsets), device='cpu')
    host.model.load_state_dict({k: v.cpu() for k, v in model.state_dict().items()})
    host.temperatures = contenders['eager'].temperatures
    expected = [host.fuse(one)[0] for one in sets]
    rows = []
    for name, engine in contenders.items():
        kernels, kernel_us = profiled(partial(engine.fuse, sets[0], reconstruct=targets))
        found = [engine.fuse(one)[0] for one in sets]
        means = max(((a.mean - b.mean).abs() / (0.5 * b.log_variance).exp()).max().item()
                    for a, b in zip(found, expected, strict=True))
        variances = max((a.log_variance - b.log_variance).abs().max().item()
                        for a, b in zip(found, expected, strict=True))
        rows.append([
            name, kernels, round(median(times[name]), 1),
            round(float(np.percentile(times[name], 99)), 1), round(kernel_us, 1),
            replay_us(engine, model.names, targets), f'{means:.1e}', f'{variances:.1e}',
        ])
    return rows


def random_measurement(spec: SensorSpec, generator: np.random.Generator) -> Measurement:
    """Return a measurement of noise, in the sensor's unit."""
    valid = np.ones(spec.spatial_shape, np.bool_)
    returned = generator.random(spec.spatial_shape) < 0.9
    largest = 1.0 if spec.kind == 'image' else float(spec.geometry['range_max'])
    values = (largest * generator.random(spec.shape)).astype(np.float32)
    if spec.kind == 'image':
        returned = valid
    else:
        values[..., ~returned] = 0
    return Measurement(values, valid, returned, 0, spec.frame_id)


def profiled(run: Callable[[], object]) -> tuple[int, float]:
    """Return how many kernels a call runs, and the time of its kernels and copies, us."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as session:
        for _ in range(10):
            run()
        torch.cuda.synchronize()
    events = [event for event in session.events()
              if event.device_type == torch.autograd.DeviceType.CUDA]
    total = sum(event.device_time_total for event in events)
    return round(len(events) / 10), total / 10


def replay_us(engine: Engine, names: Sequence[str], targets: Sequence[str]) -> Any:
    """Return the time of one replay of the graphs on the GPU, back to back, us."""
    captured = engine._captured
    if captured is None:
        return ''
    stream = captured.stream
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record(stream)
    for _ in range(REPLAYS):
        captured.replay(tuple(names), targets)
    end.record(stream)
    end.synchronize()
    return round(1e3 * begin.elapsed_time(end) / REPLAYS, 1)


def measure_throughput(path: str) -> tuple[list[list[Any]], float]:
    """Return the rows of a table of sets a second, and the best of them over eager ones."""
    engine = Engine(load(path).model, device='cuda', graphs=False)
    model = engine.model
    generator = np.random.default_rng(0)
    rows = []
    one = best = 0.0
    for name in ('eager', 'eager, bfloat16'):
        for size in BATCHES:
            batch = {
                spec.name: SensorBatch(*(
                    torch.from_numpy(array).unsqueeze(0).cuda().expand(size, *array.shape).clone()
                    for array in (item.values, item.valid, item.returned)
                ))
                for spec in model.sensors
                for item in [random_measurement(spec, generator)]
            }
            half = 'bfloat16' in name
            with torch.autocast('cuda', torch.bfloat16) if half else nullcontext():
                rate = size * calls_a_second(partial(engine.infer, batch, model.names, ()))
            one = one or rate
            best = max(best, rate)
            rows.append([name, size, round(rate), round(rate / one, 1)])
    return rows, best / one


def calls_a_second(run: Callable[[], object], seconds: float = 1.0) -> float:
    """Return how often a call runs in a second, launched without waiting for each other."""
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    began = time.perf_counter()
    calls = 0
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            run()
        torch.cuda.synchronize()
        calls += 10
    return calls / (time.perf_counter() - began)


if __name__ == '__main__':
    sys.exit(main())
