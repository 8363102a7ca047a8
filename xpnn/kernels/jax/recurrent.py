"""Recurrences as `lax.scan`: one step is compiled, whatever the number of steps.

The references' loops would be unrolled, so that compiling takes a time that grows with the sequence. The
gradient is the one that JAX derives of the scan.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xpnn.backend import kernel


@kernel("jax", "rnn")
def rnn(*arrays: jax.Array | None, nonlinearity: str, reverse: bool) -> tuple[jax.Array, tuple]:
    """The reference's `_rnn`."""
    states, pull_back = _with_gradient(_rnn, arrays, nonlinearity=nonlinearity, reverse=reverse)
    return states, (pull_back, states)


@kernel("jax", "lstm")
def lstm(*arrays: jax.Array | None, reverse: bool) -> tuple[tuple[jax.Array, jax.Array], tuple]:
    """The reference's `_lstm`."""
    states, pull_back = _with_gradient(_lstm, arrays, reverse=reverse)
    return states, (pull_back, *states)


@kernel("jax", "gru")
def gru(*arrays: jax.Array | None, reverse: bool) -> tuple[jax.Array, tuple]:
    """The reference's `_gru`."""
    states, pull_back = _with_gradient(_gru, arrays, reverse=reverse)
    return states, (pull_back, states)


@rnn.backward
@gru.backward
def _backward(gy: jax.Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    pull_back, _ = saved
    return _pull_back(pull_back, gy)


@lstm.backward
def _lstm_backward(gradients: tuple, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    pull_back, *states = saved
    above = [jnp.zeros_like(s) if g is None else g for g, s in zip(gradients, states)]
    return _pull_back(pull_back, tuple(above))


@partial(jax.jit, static_argnums=0, static_argnames=("nonlinearity", "reverse"))
def _with_gradient(function: Callable, arrays: tuple, **options: Any) -> tuple[Any, Any]:
    """The results of a recurrence, and the function from their gradients to those of its arrays."""
    return jax.vjp(partial(function, **options), *arrays)


@jax.jit
def _pull_back(pull_back: Any, gradients: Any) -> tuple:
    return pull_back(gradients)


def _rnn(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *, nonlinearity: str, reverse: bool
) -> Any:
    def step(h: Any, z: Any) -> tuple[Any, Any]:
        z = z + h @ w_hh.T
        h = jnp.tanh(z) if nonlinearity == "tanh" else jax.nn.relu(z)
        return h, h

    return lax.scan(step, h0, _affine(x, w_ih, b_ih, b_hh), reverse=reverse)[1]


def _lstm(
    x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, *, reverse: bool
) -> Any:
    def step(states: Any, z: Any) -> tuple[Any, Any]:
        h, c = states
        i, f, g, o = jnp.split(z + h @ w_hh.T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        if w_hr is not None:
            h = h @ w_hr.T
        return (h, c), (h, c)

    return lax.scan(step, (h0, c0), _affine(x, w_ih, b_ih, b_hh), reverse=reverse)[1]


def _gru(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *, reverse: bool) -> Any:
    def step(h: Any, z: Any) -> tuple[Any, Any]:
        x_r, x_u, x_n = jnp.split(z, 3, axis=-1)
        h_r, h_u, h_n = jnp.split(_affine(h, w_hh, b_hh), 3, axis=-1)
        u, n = jax.nn.sigmoid(x_u + h_u), jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
        h = n + u * (h - n)
        return h, h

    return lax.scan(step, h0, _affine(x, w_ih, b_ih), reverse=reverse)[1]


def _affine(x: Any, w: Any, *biases: Any) -> Any:
    """W x and the biases that there are."""
    z = x @ w.T
    for b in biases:
        z = z if b is None else z + b
    return z
