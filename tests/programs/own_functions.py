"""Functions with gradients of their own, hooks (Grad-CAM), parametrized and pruned weights."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.utils import prune, spectral_norm, weight_norm


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class BinaryQuantize(Function):
    @staticmethod
    def forward(ctx, input, k):
        ctx.save_for_backward(input)
        ctx.k = k
        out = torch.sign(input)
        ctx.mark_non_differentiable(out > 0)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        input = ctx.saved_tensors[0]
        grad_input = ctx.k * (1 - torch.pow(torch.tanh(input * ctx.k), 2)) * grad_output
        return grad_input, None


class GradientReversal(Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.neg() * ctx.alpha, None


class RoundSTE(Function):
    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)


class MatrixExponential(nn.Module):
    def forward(self, X):
        return torch.matrix_exp(X)

    def right_inverse(self, A):
        return torch.zeros_like(A)


class GradCAM:
    def __init__(self, model, target_layer):
        self.model = model
        self.activations, self.gradients = None, None
        self.handles = [
            target_layer.register_forward_hook(self.save_activation),
            target_layer.register_full_backward_hook(self.save_gradient),
        ]

    def save_activation(self, module, input, output):
        self.activations = output
        output.register_hook(lambda grad: self.seen.append(grad.abs().sum().item()))
        output.retain_grad()

    def save_gradient(self, module, grad_input, grad_output):
        self.gradients = grad_output[0].detach()

    def __call__(self, x, class_idx=None):
        self.seen = []
        logit = self.model(x)
        score = logit[:, logit.max(1)[-1]].squeeze() if class_idx is None else logit[:, class_idx].squeeze()
        self.model.zero_grad()
        score.sum().backward(retain_graph=True)
        b, k, u, v = self.gradients.size()
        alpha = self.gradients.view(b, k, -1).mean(2)
        weights = alpha.view(b, k, 1, 1)
        saliency = F.relu((weights * self.activations).sum(1, keepdim=True))
        saliency = F.interpolate(saliency, size=x.shape[2:], mode="bilinear", align_corners=False)
        lo, hi = saliency.min(), saliency.max()
        return (saliency - lo).div(hi - lo).data, logit

    def remove(self):
        for h in self.handles:
            h.remove()


def fill(module, seed=0):
    rng = np.random.default_rng(seed)
    for p in module.parameters():
        with torch.no_grad():
            p[...] = torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape)).astype(np.float32))
    return module


def main():
    out = []
    x = torch.linspace(-np.pi, np.pi, 50)
    y = torch.sin(x)
    a, b, c, d = [torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3)]
    for t in range(20):
        y_pred = a + b * LegendrePolynomial3.apply(c + d * x)
        loss = (y_pred - y).pow(2).sum()
        loss.backward()
        with torch.no_grad():
            for p in (a, b, c, d):
                p -= 5e-4 * p.grad
                p.grad = None
    out.append(loss.item())
    w = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4))).float().requires_grad_(True)
    BinaryQuantize().apply(w, 2.0).mul(torch.arange(4.0)).sum().backward()
    out.append(w.grad.sum().item())
    w.grad.data.zero_()
    (GradientReversal.apply(w, 0.5) * RoundSTE.apply(w * 3)).sum().backward()
    out.append(w.grad.pow(2).sum().item())

    conv = nn.Conv2d(2, 3, 3)
    model = fill(nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)))
    img = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 2, 7, 7))).float()
    cam = GradCAM(model, conv)
    mask, logit = cam(img)
    cam.remove()
    out += [mask.mean().item(), mask.max().item(), cam.seen[0], cam.activations.grad.sum().item()]
    img.requires_grad_()
    g = torch.autograd.grad(model(img)[0, 1], img, create_graph=False)[0]
    out.append(g.abs().max(dim=1)[0].sum().item())
    pre = model[0].register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    out.append(model(img).sum().item())
    pre.remove()

    layer = fill(nn.Linear(3, 3), 2)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    A = layer.weight
    assert torch.allclose(A, A.T)
    out.append(layer(torch.ones(1, 3)).sum().item())
    parametrize.remove_parametrizations(layer, "weight")
    lin = fill(nn.Linear(3, 3), 3)
    parametrize.register_parametrization(lin, "weight", Symmetric())
    parametrize.register_parametrization(lin, "weight", MatrixExponential())
    with parametrize.cached():
        out.append(lin.weight.sum().item())
    lin.weight.sum().backward()
    out.append(lin.parametrizations.weight.original.grad.sum().item())
    wn = weight_norm(fill(nn.Linear(4, 5), 4), name="weight")
    out += [wn.weight_g.size(0), wn(torch.ones(2, 4)).sum().item()]
    sn = spectral_norm(fill(nn.Linear(4, 5), 5), n_power_iterations=30)
    sn.eval()
    assert sn(torch.ones(2, 4)).shape == (2, 5)
    pr = fill(nn.Linear(4, 5), 6)
    prune.l1_unstructured(pr, name="weight", amount=0.4)
    prune.ln_structured(pr, name="weight", amount=1, n=2, dim=0)
    out += [float(torch.sum(pr.weight == 0)), pr.weight_mask.sum().item()]
    prune.remove(pr, "weight")
    assert not prune.is_pruned(pr)
    jac = torch.autograd.functional.jacobian(lambda v: (v**3).sum(0), w.detach())
    out.append(jac.sum().item())
    out.append(torch.autograd.gradcheck(lambda v: v.sin() * v, (w.detach().double().requires_grad_(),)) * 1.0)
    return out


if __name__ == "__main__":
    main()
