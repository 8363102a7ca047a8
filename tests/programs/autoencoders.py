"""Autoencoders with tied weights, averaged weights (SWA, EMA), and gradients per sample."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import init
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, WeightedRandomSampler


class TiedAutoencoder(nn.Module):
    def __init__(self, inp, hid):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hid, inp))
        self.b1, self.b2 = nn.Parameter(torch.zeros(hid)), nn.Parameter(torch.zeros(inp))
        init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x):
        h = torch.sigmoid(F.linear(x, self.weight, self.b1))
        return F.linear(h, self.weight.t(), self.b2), h


class DAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"a": nn.Linear(6, 4), "b": nn.Linear(4, 2)})
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(2))])

    def forward(self, x):
        for (name, layer), s in zip(self.encoder.items(), self.scales):
            x = layer(x) * s
        return F.linear(F.linear(x, self.encoder["b"].weight.t()), self.encoder["a"].weight.t())


class Data(Dataset):
    def __init__(self, n):
        self.x = np.random.default_rng(3).uniform(size=(n, 6)).astype(np.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        if torch.is_tensor(i):
            i = i.tolist()
        return {"x": self.x[i], "idx": i, "name": f"n{i}"}


def main():
    rng = np.random.default_rng(0)
    out = []
    model = TiedAutoencoder(6, 3)
    model.weight.data = torch.from_numpy(rng.normal(0, 0.5, (3, 6)).astype(np.float32))
    opt = torch.optim.Adagrad(model.parameters(), lr=0.1)
    sched = ReduceLROnPlateau(opt, mode="min", factor=0.5, patience=0, threshold=0.2)
    loader = DataLoader(
        Data(10), batch_sampler=BatchSampler(SequentialSampler(range(10)), 4, drop_last=False)
    )
    for epoch in range(4):
        total = 0.0
        for batch in loader:
            x, idx, names = batch["x"], batch["idx"], batch["name"]
            assert names[0] == f"n{idx[0].item()}"
            recon, h = model(x)
            rho = h.mean(0)
            sparsity = (0.05 * torch.log(0.05 / rho) + 0.95 * torch.log(0.95 / (1 - rho))).sum()
            contractive = torch.sum((h * (1 - h)) ** 2 @ (model.weight**2).sum(dim=1, keepdim=True))
            loss = F.mse_loss(recon, x, reduction="sum") / x.shape[0] + 1e-2 * sparsity + 1e-3 * contractive
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(x)
        sched.step(total)
        out += [total, opt.param_groups[0]["lr"]]
    dae = DAE()
    for p in dae.parameters():
        p.data = torch.from_numpy(rng.normal(0, 0.5, tuple(p.shape)).astype(np.float32))
    opt = torch.optim.SGD(dae.parameters(), lr=0.05)
    swa = AveragedModel(dae)
    ema = AveragedModel(dae, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    swalr = SWALR(opt, swa_lr=0.02, anneal_epochs=2)
    x = torch.from_numpy(rng.normal(size=(7, 6)).astype(np.float32))
    for step in range(4):
        y = checkpoint(dae, x, use_reentrant=False)
        loss = F.huber_loss(y, x, delta=0.7)
        opt.zero_grad()
        loss.backward()
        grads = torch.cat([p.grad.flatten() for p in dae.parameters()])
        opt.step()
        swa.update_parameters(dae)
        ema.update_parameters(dae)
        swalr.step()
        out += [loss.item(), grads.norm().item(), swalr.get_last_lr()[0]]
    out += [F.mse_loss(swa(x), x).item(), F.mse_loss(ema(x), x).item()]
    params = {k: v.detach() for k, v in dae.named_parameters()}

    def compute_loss(params, sample):
        return F.mse_loss(functional_call(dae, params, (sample.unsqueeze(0),)), sample.unsqueeze(0))

    per_sample = vmap(grad(compute_loss), in_dims=(None, 0))(params, x)
    out.append(per_sample["encoder.a.weight"].pow(2).sum().item())
    sampler = WeightedRandomSampler([0.0, 1.0, 0.0], 5, replacement=True)
    assert list(sampler) == [1] * 5
    total_params = sum(p.numel() for p in dae.parameters() if p.requires_grad)
    out.append(float(total_params))
    return out


if __name__ == "__main__":
    main()
