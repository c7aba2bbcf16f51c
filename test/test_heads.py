# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Heads run together give what each gives by itself, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from m2vae_ros.vae.heads import run_together


class Doubling(nn.Linear):
    """A layer of one's own, which is more than its weights."""

    def forward(self, features):
        return 2 * super().forward(features)


def perceptron(size):
    return nn.Sequential(
        nn.Linear(size, 5), nn.SiLU(), nn.LayerNorm(5), nn.Linear(5, 5), nn.Tanh(),
        nn.Linear(5, 4))


KINDS = {
    'perceptron': perceptron,
    'linear': lambda size: nn.Linear(size, 4),
    'without a bias': lambda size: nn.Sequential(nn.Linear(size, 4, bias=False)),
    'a layer of its own': lambda size: nn.Sequential(Doubling(size, 4)),
    'a norm without weights': lambda size: nn.Sequential(
        nn.Linear(size, 4), nn.LayerNorm(4, elementwise_affine=False)),
}


@pytest.mark.parametrize('kind', KINDS)
def test_heads_together_are_the_heads_alone(kind):
    torch.manual_seed(0)
    features = [torch.randn(6, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    chosen = [(0,), (1,), (0, 1), (2,), (1, 2), (0, 2), (0, 1, 2)]
    heads = [KINDS[kind](3 * len(places)).double() for places in chosen]
    for head in heads:  # a norm's weights are the same in all as they begin
        for weight in head.parameters():
            nn.init.normal_(weight)
    leaves = [*features, *(weight for head in heads for weight in head.parameters())]
    inputs = [[features[place] for place in places] for places in chosen]
    together = run_together(heads, inputs)
    alone = torch.stack([
        head(torch.cat(given, 1)) for head, given in zip(heads, inputs, strict=True)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    found, expected = (
        torch.autograd.grad(output.square().sum(), leaves) for output in (together, alone))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_heads_of_different_settings_do_not_run_together():
    torch.manual_seed(0)
    features = torch.randn(6, 3)
    heads = [
        nn.Sequential(nn.Linear(3, 4), nn.ELU(alpha)) for alpha in (0.5, 2.0)
    ] + [nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4, eps=eps)) for eps in (1e-5, 1.0)]
    together = run_together(heads, [[features]] * 4)
    torch.testing.assert_close(together, torch.stack([head(features) for head in heads]))
