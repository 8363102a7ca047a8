"""The functions of xpnn on the plain arrays of several libraries: no Tensor, no module, no tape.

Each function takes the arrays of any library that speaks the Array API standard and returns the same kind.

    python examples/array_api.py
"""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import functional as F


def classify(images, weight, bias):
    """Class probabilities of each quarter of an image: convolution, ReLU, pooling and a softmax."""
    maps = F.relu(F.conv2d(images, weight, bias, padding=1))
    return F.softmax(F.max_pool2d(maps, 4), dim=1)


def main() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images, weight, bias = (
        rng.standard_normal(shape, dtype=np.float32) for shape in ((2, 1, 8, 8), (3, 1, 3, 3), (3,))
    )
    results = {}
    for name, status in xpnn.available_backends().items():
        if not status.available:
            print(f"{name}: {status.detail}")
            continue
        with xpnn.use_backend(name):  # decides where new arrays are made; functions follow their arguments
            arrays = [xpnn.asarray(array) for array in (images, weight, bias)]
        result = classify(*arrays)
        results[name] = xpnn.to_numpy(result)
        first = ", ".join(f"{value:.4f}" for value in results[name][0, :, 0, 0])
        print(f"{name}: {type(result).__module__}.{type(result).__name__} {tuple(result.shape)}, {first}")
    largest = max(np.abs(result - results["numpy"]).max() for result in results.values())
    print(f"largest difference from NumPy: {largest:.1e}")
    return results


if __name__ == "__main__":
    main()
