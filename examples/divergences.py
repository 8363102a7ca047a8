"""Two directions of the Kullback-Leibler divergence: what one normal distribution makes of a mixture of two.

KL(p || q) asks q to be large wherever p is: q covers both parts, and what lies between them; at its best it
has p's mean and variance. KL(q || p) asks q to be small wherever p is: q settles on one part, and the start
says on which. The Jensen-Shannon divergence lies between. All are sums over a grid, made small by gradients.

    python divergences.py
"""

from __future__ import annotations

from common import parse, plot_lines, save

import xpnn
from xpnn import optim, viz
from xpnn.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

START = {"forward": 1.5, "reverse, right": 1.5, "reverse, left": -1.5, "Jensen-Shannon": 1.5}


def divergence(kind: str, log_p, log_q, cell: float):
    """Of densities on a grid whose cells have this size."""

    def kl(a, b):
        return (a.exp() * (a - b)).sum() * cell

    if kind == "forward":
        return kl(log_p, log_q)
    if kind.startswith("reverse"):
        return kl(log_q, log_p)
    middle = xpnn.logaddexp(log_p, log_q) - xpnn.log(xpnn.tensor(2.0))
    return (kl(log_p, middle) + kl(log_q, middle)) / 2


def fit(kind: str, log_p, grid, cell: float, density_of, parameters, steps: int) -> float:
    """Change the parameters until the divergence is least; returns it."""
    optimizer = optim.Adam(parameters, lr=0.05)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = divergence(kind, log_p, density_of(*parameters).log_prob(grid), cell)
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def on_a_line(mean, log_std):
    return Normal(mean, log_std.exp())


def on_a_plane(mean, lower):
    """Its covariance is L L^T; the logarithms of L's diagonal are what is learned."""
    return MultivariateNormal(mean, scale_tril=lower.tril(-1) + lower.diagonal().exp().diag())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    options = parse(__doc__, arguments)
    steps = 250 if options.fast else 400
    weights = xpnn.tensor([0.6, 0.4])
    line = xpnn.linspace(-7, 7, 281)
    mixture = MixtureSameFamily(
        Categorical(weights), Normal(xpnn.tensor([-2.0, 2.5]), xpnn.tensor([0.6, 0.9]))
    )
    curves = {"mixture": (line, mixture.log_prob(line).exp())}
    found = {"mixture, mean": mixture.mean.item(), "mixture, std": mixture.variance.sqrt().item()}
    for kind, start in START.items():
        parameters = [xpnn.tensor(value, requires_grad=True) for value in (start, 0.0)]
        found[kind] = fit(kind, mixture.log_prob(line), line, 14 / 280, on_a_line, parameters, steps)
        q = on_a_line(*(parameter.detach() for parameter in parameters))
        curves[kind] = (line, q.log_prob(line).exp())
        found |= {f"{kind}, mean": q.mean.item(), f"{kind}, std": q.stddev.item()}
        print(f"{kind}: divergence {found[kind]:.3f}, mean {q.mean.item():.2f}, std {q.stddev.item():.2f}")
    print(f"the mixture: mean {found['mixture, mean']:.2f}, std {found['mixture, std']:.2f}")

    side = xpnn.linspace(-5, 5, 41)
    plane = xpnn.stack(xpnn.meshgrid(side, side, indexing="xy"), -1)
    ring = xpnn.tensor([[-2.5, -1.0], [2.5, -1.0], [0.0, 2.5]])
    mixture = MixtureSameFamily(
        Categorical(xpnn.ones(3)), Independent(Normal(ring, xpnn.full((3, 2), 0.7)), 1)
    )
    pictures = {"mixture": mixture.log_prob(plane).exp()}
    for kind, start in START.items():
        parameters = [xpnn.tensor([start, -1.0]), xpnn.zeros(2, 2)]
        parameters = [parameter.requires_grad_() for parameter in parameters]
        fit(kind, mixture.log_prob(plane), plane, (10 / 40) ** 2, on_a_plane, parameters, steps)
        pictures[kind] = on_a_plane(*parameters).log_prob(plane).exp().detach()
    sheet = xpnn.stack([(density / density.max()).sqrt() for density in pictures.values()])[:, None].flip(2)
    save(
        options.out / "divergences.png",
        plot_lines(curves, "x", "density", "One normal distribution for two"),
        viz.plot_images(sheet, titles=[*pictures], columns=3, title="And for three, in the plane"),
        width=1100,
    )
    return found


if __name__ == "__main__":
    main()
