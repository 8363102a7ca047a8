"""A WGAN with gradient penalty, Bayes by backprop, Siamese triplets, CTC over a GRU, a dice loss, style by Gram matrices."""

import numpy as np
import torch
from torch import nn, optim
from torch.autograd import Variable, grad
from torch.nn import functional as F

Tensor = torch.FloatTensor


def fill(model, seed):
    g = np.random.default_rng(seed)
    model.apply(
        lambda m: [
            p.data.copy_(torch.from_numpy(g.normal(0, 0.3, tuple(p.shape))))
            for p in m.parameters(recurse=False)
        ]
    )
    return model


def compute_gradient_penalty(D, real, fake, alpha):
    interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    d = D(interpolates)
    fake = Variable(Tensor(real.shape[0], 1).fill_(1.0), requires_grad=False)
    g = grad(
        outputs=d,
        inputs=interpolates,
        grad_outputs=fake,
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    g = g.view(g.size(0), -1)
    return ((g.norm(2, dim=1) - 1) ** 2).mean()


class BayesLinear(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.mu = nn.Parameter(torch.Tensor(m, n).normal_(0, 0.1))
        self.rho = nn.Parameter(torch.Tensor(m, n).uniform_(-3, -2))
        self.register_parameter("bias", nn.Parameter(torch.zeros(m)))

    def forward(self, x, eps):
        sigma = torch.log1p(torch.exp(self.rho))
        self.kl = (-sigma.log() + (sigma**2 + self.mu**2) / 2 - 0.5).sum()
        return F.linear(x, self.mu + sigma * eps, self.bias)


def gram(x):
    b, c, h, w = x.size()
    f = x.view(b * c, h * w)
    return torch.mm(f, f.t()).div(b * c * h * w)


def dice(pred, target, smooth=1.0):
    pred, target = pred.contiguous(), target.contiguous()
    inter = (pred * target).sum(dim=2).sum(dim=2)
    return (
        1 - (2.0 * inter + smooth) / (pred.sum(dim=2).sum(dim=2) + target.sum(dim=2).sum(dim=2) + smooth)
    ).mean()


def main():
    g = np.random.default_rng(0)
    out = []
    D = fill(
        nn.Sequential(
            nn.Linear(2, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1)
        ),
        1,
    )
    G = fill(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)), 2)
    opt_d, opt_g = optim.Adam(D.parameters(), 1e-3, (0.5, 0.9)), optim.Adam(G.parameters(), 1e-3, (0.5, 0.9))
    for i in range(10):
        real = Variable(torch.from_numpy(g.normal(size=(8, 2))).type(Tensor))
        z = Variable(Tensor(g.normal(size=(8, 3))))
        fake = G(z)
        alpha = Tensor(g.random((8, 1)))
        gp = compute_gradient_penalty(D, real.data, fake.data, alpha)
        opt_d.zero_grad()
        gp.backward(retain_graph=True)
        if i == 0:
            assert all(p.grad is not None for n, p in D.named_parameters() if n != "4.bias")
            out += [p.grad.abs().sum().item() for n, p in D.named_parameters() if n != "4.bias"]
            assert D[4].bias.grad is None
        opt_d.zero_grad()
        d_loss = -torch.mean(D(real)) + torch.mean(D(fake.detach())) + 10 * gp
        d_loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        g_loss = -D(G(z)).mean()
        g_loss.backward()
        opt_g.step()
        out += [d_loss.item(), g_loss.data.item()]

    bayes = BayesLinear(3, 2)
    bayes.mu.data.fill_(0.1), bayes.rho.data.fill_(-2.5)
    opt = optim.Adadelta(bayes.parameters(), lr=1.0)
    x, y = torch.tensor(g.normal(size=(12, 3))).float(), torch.tensor(g.normal(size=(12, 2))).float()
    for _ in range(5):
        eps = torch.as_tensor(g.normal(size=(2, 3)), dtype=torch.get_default_dtype())
        loss = F.gaussian_nll_loss(bayes(x, eps), y, torch.ones_like(y)) + bayes.kl / 100
        opt.zero_grad()
        loss.backward()
        opt.step()
        out.append(loss.item())

    siamese = fill(nn.Sequential(nn.Flatten(start_dim=1), nn.Linear(9, 5), nn.PReLU(), nn.Linear(5, 2)), 3)
    imgs = torch.tensor(g.random((3, 6, 3, 3))).float()
    criterion = nn.TripletMarginLoss(margin=1.0, p=2)
    contrastive = nn.CosineEmbeddingLoss(margin=0.2)
    opt = optim.Adam(siamese.parameters(), lr=1e-2)
    for _ in range(5):
        a, p, n = map(siamese, imgs)
        d = F.pairwise_distance(a, p, keepdim=True)
        loss = (
            criterion(a, p, n)
            + contrastive(a, n, -torch.ones(6))
            + d.pow(2).mean()
            + torch.clamp(1 - d, min=0.0).pow(2).mean()
        )
        opt.zero_grad(), loss.backward(), opt.step()
        out.append(loss.item())

    rnn = fill(nn.GRU(4, 6, 2, bidirectional=True, dropout=0.0), 4)
    head = fill(nn.Linear(12, 5), 5)
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    opt = optim.Adam([*rnn.parameters(), *head.parameters()], lr=1e-2)
    seq = torch.tensor(g.normal(size=(10, 3, 4))).float()
    targets, lengths = torch.tensor(g.integers(1, 5, (3, 4))), torch.tensor([4, 2, 3])
    for _ in range(5):
        h, _ = rnn(seq)
        loss = ctc(head(h).log_softmax(2), targets, torch.full((3,), 10, dtype=torch.long), lengths)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(rnn.parameters(), 5)
        opt.step()
        out.append(loss.item())

    conv = fill(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding="same", padding_mode="reflect"),
            nn.InstanceNorm2d(3, affine=True),
            nn.Hardswish(),
        ),
        6,
    )
    for p in conv.parameters():
        p.requires_grad_(False)
    content, style = torch.tensor(g.random((2, 1, 1, 6, 6))).float()
    canvas = content.clone().requires_grad_(True)
    opt = optim.LBFGS([canvas], max_iter=4)
    run = [0]
    while run[0] <= 8:

        def closure():
            with torch.no_grad():
                canvas.clamp_(0, 1)
            opt.zero_grad()
            f = conv(canvas)
            loss = F.mse_loss(gram(f), gram(conv(style)).detach()) * 10 + F.mse_loss(f, conv(content))
            loss.backward()
            run[0] += 1
            out.append(loss.item())
            return loss

        opt.step(closure)
    mask = (torch.tensor(g.random((2, 1, 6, 6))) > 0.5).float()
    logits = torch.tensor(g.normal(size=(2, 1, 6, 6))).float().requires_grad_()
    loss = F.binary_cross_entropy_with_logits(logits, mask) * 0.5 + dice(torch.sigmoid(logits), mask) * 0.5
    loss.backward()
    out += [loss.item(), logits.grad.abs().sum().item()]
    return out
