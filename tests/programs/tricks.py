"""What training scripts do beside training: hooks, LoRA, EWC, Hessian products, accumulation, checkpoints, partial loading."""

import io
import os
import tempfile
from collections import OrderedDict
from copy import deepcopy

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, WeightedRandomSampler, random_split


def fill(model, seed):
    g = np.random.default_rng(seed)
    sd = model.state_dict()
    for k, v in sd.items():
        if v.dtype.is_floating_point:
            sd[k] = torch.from_numpy(np.abs(g.normal(scale=0.4, size=tuple(v.shape)))).to(v.dtype) * (
                1 if "var" in k else 0.5
            )
    print_keys = model.load_state_dict(sd)
    assert str(print_keys) == "<All keys matched successfully>"
    return model


class LoRA(nn.Module):
    def __init__(self, fan_in, fan_out, rank=2, alpha=1.0):
        super().__init__()
        self.A = nn.Parameter(torch.ones(rank, fan_in) * 0.1)
        self.B = nn.Parameter(torch.zeros(fan_out, rank))
        self.scale = alpha / rank

    def forward(self, W):
        return W + (self.B @ self.A) * self.scale


class Rows(Dataset):
    def __init__(self, n, seed):
        g = np.random.default_rng(seed)
        self.x, self.y = g.normal(size=(n, 4)).astype(np.float32), g.integers(0, 3, n)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return {"x": self.x[i], "y": int(self.y[i]), "name": f"row{i}"}


def collate(batch):
    return torch.stack([torch.as_tensor(b["x"]) for b in batch]), torch.LongTensor([b["y"] for b in batch])


def main():
    out = []
    net = fill(
        nn.Sequential(
            OrderedDict(
                [
                    ("fc1", nn.Linear(4, 6)),
                    ("bn", nn.BatchNorm1d(6)),
                    ("act", nn.ReLU()),
                    ("fc2", nn.Linear(6, 3)),
                ]
            )
        ),
        1,
    )
    seen = {}
    handles = [
        m.register_forward_hook(
            lambda m, i, o, name=name: seen.__setitem__(name, o.detach().abs().mean().item())
        )
        for name, m in net.named_modules()
        if not list(m.children())
    ]
    grads = []
    net.fc2.register_full_backward_hook(
        lambda m, gi, go: grads.append((gi[0].norm().item(), go[0].norm().item()))
    )
    data = ConcatDataset([Rows(12, 0), Subset(Rows(20, 1), range(0, 20, 2))])
    loader = DataLoader(data, batch_size=5, collate_fn=collate, num_workers=0, pin_memory=False)
    assert (len(data), len(loader)) == (22, 5)
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    opt.zero_grad()
    for i, (x, y) in enumerate(loader):
        loss = F.cross_entropy(net(x), y) / 2
        loss.backward()
        if (i + 1) % 2 == 0 or i + 1 == len(loader):
            opt.step()
            opt.zero_grad()
        out.append(loss.item())
    out += [*seen.values(), *grads[-1], net.bn.num_batches_tracked.item(), net.bn.running_mean.sum().item()]
    for h in handles:
        h.remove()

    default = next(iter(DataLoader(Rows(6, 2), batch_size=4)))
    out += [
        default["x"].sum().item(),
        default["y"].sum().item(),
        float(default["name"] == ["row0", "row1", "row2", "row3"]),
    ]
    a, b = random_split(Rows(10, 3), [7, 3], generator=torch.Generator().manual_seed(42))
    out += [float(len(a)), float(len(b)), float(len(list(WeightedRandomSampler([0.1, 0.9, 0.0], 5))))]

    before = net(x).sum()
    buffer = io.BytesIO()
    torch.save({"model": net.state_dict(), "epoch": 3, "opt": opt.state_dict()}, buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    other = deepcopy(net)
    nn.init.constant_(other.fc1.weight, 0.0)
    other.load_state_dict(state["model"])
    opt.load_state_dict(state["opt"])
    other.train(net.training)
    out += [float(state["epoch"]), other(x).sum().item() - before.item()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.pth")
        torch.save(net.state_dict(), path)
        loaded = torch.load(path, map_location="cpu")
        loaded.pop("fc2.bias")
        result = other.load_state_dict(loaded, strict=False)
        assert result == (["fc2.bias"], [])
        try:
            other.load_state_dict(loaded)
        except RuntimeError as error:
            out.append(float("fc2.bias" in str(error)))
    for name, param in net.named_parameters():
        if not name.startswith("fc2"):
            param.requires_grad = False
    out.append(float(sum(p.numel() for p in filter(lambda p: p.requires_grad, net.parameters()))))
    net.requires_grad_(True)

    base = fill(nn.Linear(4, 3), 4)
    parametrize.register_parametrization(base, "weight", LoRA(4, 3))
    base.parametrizations.weight.original.requires_grad = False
    lora = [p for n, p in base.named_parameters() if p.requires_grad and n != "bias"]
    opt = torch.optim.Adagrad(lora, lr=0.1)
    for _ in range(4):
        loss = F.multi_margin_loss(base(x), y)
        opt.zero_grad(set_to_none=False)
        loss.backward()
        opt.step()
        out.append(loss.item())
    out += [base.weight.sum().item(), float(len(lora))]

    net.eval()
    fisher = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    old = {n: p.clone().detach() for n, p in net.named_parameters()}
    for xi, yi in zip(x, y):
        net.zero_grad()
        F.nll_loss(F.log_softmax(net(xi.unsqueeze(0)), 1), yi.view(1)).backward()
        for n, p in net.named_parameters():
            fisher[n] += p.grad.data**2 / len(x)
    ewc = sum((fisher[n] * (p - old[n] + 0.1) ** 2).sum() for n, p in net.named_parameters())
    out.append(ewc.item())

    params = list(net.parameters())
    loss = F.cross_entropy(net(x), y)
    first = torch.autograd.grad(loss, params, create_graph=True)
    v = [torch.ones_like(p) for p in params]
    hvp = torch.autograd.grad(first, params, grad_outputs=v, retain_graph=True)
    out += [sum(h.sum() for h in hvp).item(), torch.cat([g.reshape(-1) for g in first]).norm().item()]
    flat = torch.nn.utils.parameters_to_vector(params)
    torch.nn.utils.vector_to_parameters(flat * 0.5, params)
    out.append(net(x).sum().item())

    seq = fill(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Sigmoid()), 5)
    z = x.clone().requires_grad_()
    y1 = (
        checkpoint(seq, z, use_reentrant=False).sum()
        + checkpoint_sequential(seq, 2, z, use_reentrant=False).pow(2).sum()
    )
    y1.backward()
    out += [y1.item(), z.grad.norm().item(), seq[0].weight.grad.abs().sum().item()]

    embed = nn.Embedding(5, 3, padding_idx=0, max_norm=1.0)
    embed.weight.data = torch.arange(15.0).view(5, 3) / 10
    bag = nn.EmbeddingBag.from_pretrained(torch.eye(5), mode="mean", freeze=False)
    ids = torch.tensor([[1, 2, 0], [4, 4, 3]])
    (embed(ids).sum() + (bag(ids) ** 2).sum()).backward()
    out += [embed.weight.grad.sum().item(), bag.weight.grad.sum().item(), embed.weight.norm().item()]
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    opt = torch.optim.Adamax(seq.parameters(), lr=1e-2)
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16, enabled=False):
        loss = seq(x).mean()
    scaler.scale(loss).backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    out += [loss.item(), seq[0].bias.sum().item()]

    stepped = []
    small = fill(nn.Linear(4, 2), 6)
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in small.parameters()}

    def step_now(p):
        optimizers[p].step()
        optimizers[p].zero_grad()
        stepped.append(tuple(p.shape))

    for p in small.parameters():
        p.register_post_accumulate_grad_hook(step_now)
    small(x).pow(2).sum().backward()
    out += [
        float(sorted(stepped) == [(2,), (2, 4)]),
        float(small.weight.grad is None),
        small.weight.sum().item(),
    ]
    return out
