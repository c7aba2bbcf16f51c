# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Encoder heads, run one by one or those of one outline as one batched network.

A step of training runs 2^N - 1 small heads, whose time is mostly that of launching operations.
Heads that are the same layers in the same sizes, as those of all subsets with as many sensors
are, can take one launch for all of them. The numbers are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import layer_norm

_POINTWISE = (nn.SiLU, nn.ReLU, nn.GELU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity)


def run_alone(heads: Sequence[nn.Module], inputs: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return what `run_together` does; each head is called, no weights are brought together."""
    outputs = [head(torch.cat(list(given), 1)) for head, given in zip(heads, inputs, strict=True)]
    return torch.stack(outputs)


def run_together(heads: Sequence[nn.Module], inputs: Sequence[Sequence[Tensor]]) -> Tensor:
    """
    Return the outputs of some heads, ``(heads, batch, outputs)``.

    Hooks of heads that run together are not called.

    Parameters
    ----------
    heads
        Networks from ``(batch, inputs)`` to ``(batch, outputs)``.
    inputs
        For each head, what it is given, one behind the other: each ``(batch, features)``.

    """
    groups: dict[object, list[int]] = {}
    for place, head in enumerate(heads):
        outline = _outline(head)
        groups.setdefault(place if outline is None else outline, []).append(place)
    outputs: dict[int, Tensor] = {}
    for places in groups.values():
        joined = [torch.cat(list(inputs[place]), 1) for place in places]
        if len(places) == 1:
            results: Sequence[Tensor] = [heads[places[0]](joined[0])]
        else:
            results = _run_alike([heads[place] for place in places], torch.stack(joined)).unbind()
        outputs.update(zip(places, results, strict=True))
    return torch.stack([outputs[place] for place in range(len(heads))])


def _outline(head: nn.Module) -> tuple[object, ...] | None:
    """Return what heads that can run together have in common; None = it runs alone."""
    if type(head) is not nn.Sequential:
        return None
    layers: list[object] = []
    for layer in head:
        if type(layer) is nn.Linear and layer.bias is not None:
            layers.append((layer.in_features, layer.out_features))
        elif type(layer) is nn.LayerNorm and layer.bias is not None:
            layers.append((layer.normalized_shape, layer.eps))
        elif type(layer) in _POINTWISE:
            layers.append(repr(layer))
        else:
            return None
    return tuple(layers)


def _run_alike(heads: Sequence[nn.Module], hidden: Tensor) -> Tensor:
    """Return the outputs of heads of one outline for inputs ``(heads, batch, inputs)``."""
    for alike in zip(*heads, strict=True):
        first = alike[0]
        if isinstance(first, nn.Linear | nn.LayerNorm):
            weight = torch.stack([layer.weight for layer in alike])
            bias = torch.stack([layer.bias for layer in alike]).unsqueeze(1)
            if isinstance(first, nn.Linear):
                hidden = torch.baddbmm(bias, hidden, weight.transpose(1, 2))
            else:
                hidden = layer_norm(hidden, first.normalized_shape, eps=first.eps)
                hidden = hidden * weight.unsqueeze(1) + bias
        else:
            hidden = first(hidden)
    return hidden
