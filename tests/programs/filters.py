"""A Kalman filter and a hidden Markov model trained by their likelihoods; Gaussian process; own optimizers (SAM, Lookahead)."""

import math
from collections import defaultdict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import MultivariateNormal
from torch.optim import Optimizer


class HMM(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.N, self.M = n, m
        self.transition = nn.Parameter(torch.randn(n, n))
        self.emission = nn.Parameter(torch.randn(n, m))
        self.prior = nn.Parameter(torch.randn(n))

    def forward(self, x, T):
        log_a = F.log_softmax(self.transition, dim=0)
        log_b = F.log_softmax(self.emission, dim=1)
        batch_size, T_max = x.shape
        log_alpha = torch.zeros(batch_size, T_max, self.N)
        log_alpha[:, 0, :] = log_b[:, x[:, 0]].transpose(0, 1) + F.log_softmax(self.prior, dim=0)
        for t in range(1, T_max):
            log_alpha[:, t, :] = log_b[:, x[:, t]].t() + torch.logsumexp(
                log_a.unsqueeze(0) + log_alpha[:, t - 1, :].clone().unsqueeze(1), dim=2
            )
        log_sums = log_alpha.logsumexp(dim=2)
        return torch.gather(log_sums, 1, T.view(-1, 1) - 1)

    @torch.no_grad()
    def viterbi(self, x):
        log_a, log_b = F.log_softmax(self.transition, 0), F.log_softmax(self.emission, 1)
        score, back = log_b[:, x[0]] + F.log_softmax(self.prior, 0), []
        for o in x[1:]:
            values, index = torch.max(log_a + score, 1)
            score = values + log_b[:, o]
            back.append(index)
        path = [score.argmax().item()]
        for index in reversed(back):
            path.insert(0, index[path[0]].item())
        return path


class KalmanFilter(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_q = nn.Parameter(torch.zeros(2))
        self.log_r = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("F", torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        self.register_buffer("H", torch.tensor([[1.0, 0.0]]), persistent=False)

    def forward(self, zs):
        x, P, ll = torch.zeros(2, 1), torch.eye(2) * 10, 0.0
        Q, R = torch.diag(self.log_q.exp()), self.log_r.exp().reshape(1, 1)
        for z in zs:
            x, P = self.F @ x, self.F @ P @ self.F.T + Q
            y, S = z - self.H @ x, self.H @ P @ self.H.t() + R
            K = torch.linalg.solve(S, P @ self.H.mT, left=False)
            x, P = x + K @ y, (torch.eye(2) - K @ self.H) @ P
            ll = ll - 0.5 * (y.T @ torch.linalg.inv(S) @ y + torch.logdet(S) + math.log(2 * math.pi))
        return ll.squeeze()


class SAM(Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, dict(rho=rho, **kwargs))
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)

    @torch.no_grad()
    def first_step(self, zero_grad=False):
        norm = self._grad_norm()
        for group in self.param_groups:
            scale = group["rho"] / (norm + 1e-12)
            for p in group["params"]:
                if p.grad is None:
                    continue
                self.state[p]["old_p"] = p.data.clone()
                p.add_(p.grad * scale.to(p))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data = self.state[p]["old_p"]
        self.base_optimizer.step()
        if zero_grad:
            self.zero_grad()

    def _grad_norm(self):
        grads = [p.grad.norm(p=2) for g in self.param_groups for p in g["params"] if p.grad is not None]
        return torch.norm(torch.stack(grads), p=2)


class Lookahead(Optimizer):
    def __init__(self, base, alpha=0.5, k=3):
        self.base, self.k, self.alpha = base, k, alpha
        self.param_groups = base.param_groups
        self.defaults = base.defaults
        self.state = defaultdict(dict)
        for group in self.param_groups:
            group.setdefault("lookahead_step", 0)

    def step(self, closure=None):
        loss = self.base.step(closure)
        for group in self.param_groups:
            group["lookahead_step"] += 1
            if group["lookahead_step"] % self.k == 0:
                for fast in group["params"]:
                    state = self.state[fast]
                    if "slow" not in state:
                        state["slow"] = torch.empty_like(fast.data)
                        state["slow"].copy_(fast.data)
                    state["slow"].add_(fast.data - state["slow"], alpha=self.alpha)
                    fast.data.copy_(state["slow"])
        return loss


class MyAdam(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super(MyAdam, self).__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.data
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p.data, memory_format=torch.preserve_format)
                    state["exp_avg_sq"] = torch.zeros_like(p.data)
                m, v = state["exp_avg"], state["exp_avg_sq"]
                beta1, beta2 = group["betas"]
                state["step"] += 1
                if group["weight_decay"] != 0:
                    grad = grad.add(p.data, alpha=group["weight_decay"])
                m.mul_(beta1).add_(grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                denom = (v.sqrt() / math.sqrt(1 - beta2 ** state["step"])).add_(group["eps"])
                p.data.addcdiv_(m, denom, value=-group["lr"] / (1 - beta1 ** state["step"]))
        return loss


def fill(model, seed):
    g = np.random.default_rng(seed)
    for p in model.parameters():
        p.data[:] = torch.from_numpy(g.normal(scale=0.5, size=tuple(p.shape))).float() if p.dim() else p.data
    return model


def main():
    g = np.random.default_rng(0)
    out = []
    hmm = HMM(3, 4)
    for p in hmm.parameters():
        p.data = torch.tensor(g.normal(size=p.shape)).type_as(p.data)
    x, T = torch.tensor(g.integers(0, 4, (5, 7))), torch.tensor([7, 5, 6, 7, 3])
    opt = MyAdam(hmm.parameters(), lr=0.05, weight_decay=1e-3)
    for _ in range(6):
        loss = -hmm(x, T).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        out.append(loss.item())
    out += [float(s) for s in hmm.viterbi(x[0])]

    kf = KalmanFilter()
    assert list(kf.state_dict().keys()) == ["log_q", "log_r", "F"]
    zs = torch.cumsum(torch.tensor(g.normal(size=12)).float(), 0)
    opt = torch.optim.Rprop(kf.parameters(), lr=0.05)
    for _ in range(5):
        opt.zero_grad()
        nll = -kf(zs)
        nll.backward()
        opt.step()
        out.append(nll.item())

    X = torch.linspace(0, 1, 10)[:, None]
    y = torch.sin(6 * X).squeeze() + 0.1 * torch.tensor(g.normal(size=10)).float()
    log_len, log_noise = torch.zeros(1, requires_grad=True), torch.full((1,), -2.0, requires_grad=True)
    opt = torch.optim.Adam([log_len, log_noise], lr=0.1)
    for _ in range(5):
        K = torch.exp(-0.5 * torch.cdist(X, X).pow(2) / log_len.exp() ** 2) + (
            log_noise.exp() + 1e-4
        ) * torch.eye(10)
        L, info = torch.linalg.cholesky_ex(K)
        assert not torch.any(info)
        alpha = torch.cholesky_solve(y.unsqueeze(-1), L)
        nll = (
            0.5 * y @ alpha.squeeze(-1) + L.diagonal(dim1=-2, dim2=-1).log().sum() + 5 * math.log(2 * math.pi)
        )
        assert torch.allclose(nll, -MultivariateNormal(torch.zeros(10), K).log_prob(y), atol=1e-3)
        opt.zero_grad()
        nll.backward()
        opt.step()
        out.append(nll.item())

    data, target = (
        torch.tensor(g.normal(size=(20, 4))).float(),
        torch.tensor(g.integers(0, 2, (20, 1))).float(),
    )
    net = fill(nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1)), 1)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]))
    sam = SAM(net.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9)
    for _ in range(5):
        loss = criterion(net(data), target)
        loss.backward()
        sam.first_step(zero_grad=True)
        criterion(net(data), target).backward()
        sam.second_step(zero_grad=True)
        out.append(loss.item())
    look = Lookahead(torch.optim.Adam(net.parameters(), lr=1e-2))
    steplr = torch.optim.lr_scheduler.ReduceLROnPlateau(look.base, mode="min", factor=0.5, patience=1)
    for _ in range(6):
        loss = criterion(net(data), target)
        net.zero_grad()
        loss.backward()
        look.step()
        steplr.step(loss)
        out += [loss.item(), look.param_groups[0]["lr"]]
    return out
