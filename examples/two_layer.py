"""A two-layer network trained twice from the same weights: once with gradients by hand, once by autograd.

64 samples of 1,000 numbers go through 100 hidden units with ReLU to 10 outputs, with a bias in both layers.
The loss is the summed squared error, and every step of gradient descent sees all samples.

    python examples/two_layer.py
"""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import nn, optim

SAMPLES, INPUTS, HIDDEN, OUTPUTS = 64, 1000, 100, 10
LEARNING_RATE = 2e-5


def loss_and_gradients(x, y, w1, b1, w2, b2):
    """The loss and its gradient for each parameter; the backward pass reads the forward pass upwards."""
    hidden = x @ w1.T + b1
    active = np.maximum(hidden, 0)
    error = active @ w2.T + b2 - y
    loss = np.sum(error**2)

    g_output = 2 * error
    g_w2, g_b2 = g_output.T @ active, g_output.sum(axis=0)
    g_hidden = (g_output @ w2) * (hidden > 0)
    g_w1, g_b1 = g_hidden.T @ x, g_hidden.sum(axis=0)
    return loss, (g_w1, g_b1, g_w2, g_b2)


def train_by_hand(x, y, parameters, epochs):
    """Gradient descent with the formulas above; returns the loss of every epoch."""
    losses = []
    for _ in range(epochs):
        loss, gradients = loss_and_gradients(x, y, *parameters)
        parameters = [p - LEARNING_RATE * g for p, g in zip(parameters, gradients)]
        losses.append(float(loss))
    return losses


def train_by_autograd(x, y, model, epochs):
    """The same with xpnn; returns the loss of every epoch."""
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)
    x, y = xpnn.tensor(x), xpnn.tensor(y)
    losses = []
    for _ in range(epochs):
        loss = ((model(x) - y) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(epochs: int = 500) -> tuple[list[float], list[float]]:
    xpnn.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, INPUTS), dtype=np.float32)
    y = rng.standard_normal((SAMPLES, OUTPUTS), dtype=np.float32)

    model = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUTPUTS))
    parameters = [xpnn.to_numpy(p).copy() for p in model.parameters()]  # weight (out, in), then bias
    by_hand = train_by_hand(x, y, parameters, epochs)
    by_autograd = train_by_autograd(x, y, model, epochs)

    print("epoch     by hand  by autograd")
    for epoch in [*range(0, epochs, 50), epochs - 1]:
        print(f"{epoch:5d}  {by_hand[epoch]:10.4f}  {by_autograd[epoch]:11.4f}")
    difference = max(abs(a - b) / a for a, b in zip(by_hand, by_autograd))
    print(f"largest relative difference of the two losses: {difference:.1e}")
    return by_hand, by_autograd


if __name__ == "__main__":
    main()
