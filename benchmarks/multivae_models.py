# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The models of MultiVae and ours behind one interface, built from the same networks.

`compared_networks.Networks` makes new trunks, heads and decoders. Each model takes those that it
needs: a trunk, a head and a decoder per sensor, and a head over all sensors if it has a joint
encoder. As in the library, JMVAE's joint encoder has its own trunks; ours shares them.

The library's `forward` computes every loss of its models, with likelihoods unscaled
(``uses_likelihood_rescaling`` is off, its default) and KL annealing where the model has it. Its
decoders pass the latent vector on, and its hook for log-likelihoods decodes and scores it, so that
every model has exactly the same likelihood, learned noise included.

Posteriors q(z|x_S) are those with which the library encodes a subset:

======  ======================================================================================
JMVAE   joint encoder for all sensors, a sensor's encoder for one, else the product of those
MVAE    product of the sensors' encoders and the prior
MMVAE   mixture of the sensors' encoders, with a learned prior
MoPoE   product of the sensors' encoders; for all sensors the mixture of all subsets' products,
        which is the model's joint posterior
MVTCAE  product of the sensors' encoders
======  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compared_networks import Batch, Networks
import torch
from torch import nn, Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
)

from m2vae_ros.vae.likelihoods import Likelihood
from m2vae_ros.vae.multimodal import MultimodalVAE
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.subsets import Subset
from m2vae_ros.vae.terms import OBJECTIVES, reconstructions

try:
    from multivae.data.datasets.base import MultimodalBaseDataset
    from multivae.models import (
        JMVAE,
        JMVAEConfig,
        MMVAE,
        MMVAEConfig,
        MoPoE,
        MoPoEConfig,
        MVAE,
        MVAEConfig,
        MVTCAE,
        MVTCAEConfig,
    )
    from multivae.models.base.base_utils import stable_poe
    from multivae.models.nn import BaseJointEncoder
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
except ImportError as error:
    raise SystemExit(
        f"{error}; the comparison needs the extra: pip install 'm2vae_ros[benchmarks]'"
    ) from error

_LIBRARY = {
    'JMVAE': (JMVAE, JMVAEConfig),
    'MVAE': (MVAE, MVAEConfig),
    'MMVAE': (MMVAE, MMVAEConfig),
    'MoPoE': (MoPoE, MoPoEConfig),
    'MVTCAE': (MVTCAE, MVTCAEConfig),
}


class Ours(nn.Module):
    """
    `vae.multimodal.MultimodalVAE`, trained by one of its objectives.

    Parameters
    ----------
    objective
        See `vae.objectives.bound`.
    networks
        Makes its trunks, heads and decoders.
    heads
        ``product``: the head of several sensors corrects the product of their single encoders;
        ``separate``: it gives the moments by itself.
    knobs
        Knobs of the objective.

    """

    def __init__(
        self, objective: str, networks: Networks, *, heads: str = 'separate', **knobs: float
    ) -> None:
        super().__init__()
        self.objective, self.knobs, self.names = objective, knobs, networks.names
        self.latent = networks.latent
        self.needed = reconstructions(objective, networks.names)
        self.model = MultimodalVAE(
            {name: networks.trunk(name) for name in networks.names},
            lambda subset: _head(networks, len(subset), near_zero=heads == 'product'),
            {name: networks.decoder(name) for name in networks.names},
            list(self.needed),
            product_of_experts=heads == 'product',
        )

    def loss(self, batch: Batch, warmed_up: float = 1.0) -> Tensor:
        """Return minus the bound; `warmed_up` scales alpha and beta."""
        knobs = {'alpha': 1.0, 'beta': 1.0} | self.knobs
        knobs |= {name: warmed_up * knobs[name] for name in ('alpha', 'beta')}
        posteriors, log_likelihoods = self.model(batch, reconstruct=self.needed)
        return -bound(self.objective, posteriors, log_likelihoods, **knobs).mean()

    def posterior(self, batch: Batch, subset: Subset) -> Distribution:
        """Return q(z|x_S)."""
        posterior = self.model.encode(batch, subset)
        return _gaussian(posterior.mean, posterior.log_variance)

    def prior(self) -> Distribution:
        """Return N(0, I)."""
        return _gaussian(torch.zeros(self.latent), torch.zeros(self.latent))

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z)."""
        return self.model.decode(latents, sensor)


def _head(networks: Networks, sensors: int, near_zero: bool) -> nn.Module:
    head = networks.head(sensors)
    if near_zero and sensors > 1:
        *_, last = (layer for layer in head.modules() if isinstance(layer, nn.Linear))
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
    return head


class MultiVae(nn.Module):
    """
    A model of MultiVae.

    Parameters
    ----------
    name
        Its class: JMVAE, MVAE, MMVAE, MoPoE or MVTCAE.
    networks
        Makes its encoders and decoders.
    settings
        Fields of its configuration.

    """

    def __init__(self, name: str, networks: Networks, **settings: Any) -> None:
        super().__init__()
        self.names, self.latent = networks.names, networks.latent
        self.packing = {sensor: networks.packing(sensor) for sensor in self.names}
        model, config = _LIBRARY[name]
        if name in ('JMVAE', 'MVAE'):
            settings = {'warmup': 1000, **settings}  # `loss` gives the share in thousandths
        joint = {'joint_encoder': _JointEncoder(networks)} if name == 'JMVAE' else {}
        decoders = {sensor: _Decoder(networks, sensor) for sensor in self.names}
        self.model = model(
            config(n_modalities=len(self.names), latent_dim=networks.latent, **settings),
            encoders={sensor: _Encoder(networks, sensor) for sensor in self.names},
            decoders=decoders,
            **joint,
        )
        self.model.recon_log_probs = {
            sensor: decoder.log_prob for sensor, decoder in decoders.items()
        }

    def loss(self, batch: Batch, warmed_up: float = 1.0) -> Tensor:
        """Return the library's loss; JMVAE and MVAE anneal, the others do not."""
        output = self.model(self._as_dataset(batch), epoch=1000 * warmed_up, batch_ratio=1.0)
        is_sum = isinstance(self.model, MMVAE)  # over the batch; the others give the mean
        return output.loss / (len(next(iter(batch.values())).values) if is_sum else 1)

    def posterior(self, batch: Batch, subset: Subset) -> Distribution:
        """Return q(z|x_S), see the table of this file."""
        model = self.model
        data = self._as_dataset(batch)
        if isinstance(model, JMVAE) and len(subset) == len(self.names):
            output = model.joint_encoder(data.data)
            return _gaussian(output.embedding, output.log_covariance)
        if isinstance(model, MoPoE):
            inferred = model.inference(data)
            if len(subset) == len(self.names):
                return _mixture(Normal, inferred['mus'], (0.5 * inferred['logvars']).exp())
            return _gaussian(*inferred['subsets']['_'.join(sorted(subset))])
        if isinstance(model, MVAE):
            return _gaussian(*model.compute_mu_log_var_subset(data, list(subset)))
        outputs = [model.encoders[name](data.data[name]) for name in subset]
        means = torch.stack([output.embedding for output in outputs])
        log_variances = torch.stack([output.log_covariance for output in outputs])
        if isinstance(model, MMVAE):
            return _mixture(model.post_dist, means, model.log_var_to_std(log_variances))
        return _gaussian(*stable_poe(means, log_variances))

    def prior(self) -> Distribution:
        """Return p(z), which MMVAE learns."""
        if isinstance(self.model, MMVAE):
            mean, scale = (parameter.squeeze(0) for parameter in self.model.pz_params)
            return Independent(self.model.prior_dist(mean, scale), 1)
        return _gaussian(torch.zeros(self.latent), torch.zeros(self.latent))

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z)."""
        likelihood: Likelihood = self.model.decoders[sensor].network(latents)
        return likelihood

    def _as_dataset(self, batch: Batch) -> MultimodalBaseDataset:
        return MultimodalBaseDataset(
            {name: self.packing[name].pack(batch[name]) for name in self.names}
        )


def build(name: str, networks: Networks, **settings: Any) -> Ours | MultiVae:
    """Return a new model: one of our objectives or one of the library's classes."""
    return (Ours if name in OBJECTIVES else MultiVae)(name, networks, **settings)


class _Encoder(BaseEncoder):
    def __init__(self, networks: Networks, sensor: str) -> None:
        super().__init__()
        self.latent_dim = networks.latent
        self.unpack = networks.packing(sensor).unpack
        self.trunk, self.head = networks.trunk(sensor), networks.head(1)

    def forward(self, packed: Tensor) -> ModelOutput:
        return _output(self.head(self.trunk(self.unpack(packed))))


class _JointEncoder(BaseJointEncoder):
    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.latent_dim = networks.latent
        self.unpack = {name: networks.packing(name).unpack for name in networks.names}
        self.trunks = nn.ModuleDict({name: networks.trunk(name) for name in networks.names})
        self.head = networks.head(len(networks.names))

    def forward(self, packed: Mapping[str, Tensor]) -> ModelOutput:
        features = [
            trunk(self.unpack[name](packed[name])) for name, trunk in self.trunks.items()
        ]
        return _output(self.head(torch.cat(features, 1)))


class _Decoder(BaseDecoder):
    def __init__(self, networks: Networks, sensor: str) -> None:
        super().__init__()
        self.unpack = networks.packing(sensor).unpack
        self.network = networks.decoder(sensor)

    def forward(self, latents: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=latents)

    def log_prob(self, latents: Tensor, packed: Tensor) -> Tensor:
        log_prob: Tensor = self.network(latents).log_prob(self.unpack(packed))
        return log_prob


def _output(parameters: Tensor) -> ModelOutput:
    mean, log_variance = parameters.chunk(2, 1)
    return ModelOutput(embedding=mean, log_covariance=log_variance)


def _gaussian(mean: Tensor, log_variance: Tensor) -> Distribution:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def _mixture(family: type[Distribution], means: Tensor, scales: Tensor) -> Distribution:
    """Return the mixture, with equal weights, of components ``(component, batch, latent)``."""
    components = Independent(family(means.transpose(0, 1), scales.transpose(0, 1)), 1)
    weights = Categorical(torch.ones(means.shape[1], means.shape[0]))
    return MixtureSameFamily(weights, components)
