"""A normalising flow of affine couplings, an own Transform, and distributions trained by their likelihood."""

import numpy as np
import torch
import torch.distributions as D
import torch.nn as nn
from torch.distributions import constraints
from torch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    Transform,
)


class Coupling(Transform):
    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, net, flip, cache_size=0):
        super().__init__(cache_size=cache_size)
        self.net, self.flip = net, flip

    def _parts(self, x):
        a, b = x.chunk(2, -1)
        return (b, a) if self.flip else (a, b)

    def _join(self, a, b):
        return torch.cat((b, a) if self.flip else (a, b), -1)

    def _call(self, x):
        a, b = self._parts(x)
        s, t = self.net(a).chunk(2, -1)
        return self._join(a, b * torch.tanh(s).exp() + t)

    def _inverse(self, y):
        a, b = self._parts(y)
        s, t = self.net(a).chunk(2, -1)
        return self._join(a, (b - t) * torch.exp(-torch.tanh(s)))

    def log_abs_det_jacobian(self, x, y):
        s, _ = self.net(self._parts(x)[0]).chunk(2, -1)
        return torch.tanh(s).sum(-1)


def main():
    g = np.random.default_rng(0)
    nets = nn.ModuleList(
        [nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.1), nn.Linear(16, 2)) for _ in range(4)]
    )
    for p in nets.parameters():
        nn.init.zeros_(p)
        p.data += torch.as_tensor(g.normal(scale=0.3, size=tuple(p.shape)), dtype=p.dtype)
    angle = g.uniform(0, np.pi, 64)
    data = torch.tensor(
        np.stack([np.cos(angle), np.sin(angle)], 1) * 2 + g.normal(scale=0.1, size=(64, 2))
    ).float()
    base = D.MultivariateNormal(torch.zeros(2), torch.eye(2))
    flow = D.TransformedDistribution(base, [Coupling(n, bool(i % 2)) for i, n in enumerate(nets)])
    opt = torch.optim.AdamW(nets.parameters(), lr=1e-2, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=20)
    out = []
    for _ in range(20):
        loss = -flow.log_prob(data).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        out.append(loss.item())
    x = torch.tensor(g.normal(size=(5, 2))).float()
    y = x
    for t in flow.transforms:
        y = t(y)
    back = y
    for t in reversed(flow.transforms):
        back = t.inv(back)
    out += [y.sum().item(), float(torch.allclose(back, x, atol=1e-4))]

    mix = D.MixtureSameFamily(
        D.Categorical(logits=torch.zeros(3, requires_grad=True)),
        D.Independent(
            D.Normal(torch.randn(3, 2).mul(0).add(torch.arange(3.0)[:, None]).requires_grad_(), 1.0), 1
        ),
    )
    nll = -mix.log_prob(data).mean()
    gr = torch.autograd.grad(nll, [mix.mixture_distribution.logits], allow_unused=True)
    out += [nll.item(), gr[0].abs().sum().item()]
    logit_normal = D.TransformedDistribution(
        D.Normal(torch.tensor([0.0]), torch.tensor([1.0])), SigmoidTransform()
    )
    out.append(logit_normal.log_prob(torch.tensor([0.3])).item())
    chain = ComposeTransform([AffineTransform(loc=1.0, scale=torch.tensor([2.0])), ExpTransform()])
    lognormal = D.TransformedDistribution(D.Laplace(0.0, 1.0), chain)
    out += [lognormal.log_prob(torch.tensor([3.0])).item(), lognormal.cdf(torch.tensor([3.0])).item()]
    out.append(D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(torch.tensor(1.0), 2.0)).item())
    try:
        D.Normal(torch.tensor([0.0]), torch.tensor([-1.0]))
    except ValueError as error:
        out.append(float("scale" in str(error)))
    try:
        D.Categorical(probs=torch.tensor([0.5, -0.5]))
    except ValueError:
        out.append(1.0)
    return out
