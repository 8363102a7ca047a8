"""A run of a Trainer for tests/test_distributed.py, in one or several processes.

`ranks_training.py FOLDER EPOCHS [twice] [resume] [zero] [often] [always] [kill|term RANK BATCH]`
prints the history and some sums.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import numpy as np

import xpnn
from xpnn import distributed as dist
from xpnn import nn, optim
from xpnn.data import DataLoader, TensorDataset
from xpnn.metrics import Accuracy
from xpnn.train import Callback, Interrupted, ModelCheckpoint, Terminated, Trainer

folder, epochs, *words = sys.argv[1:]
rng = np.random.default_rng(0)
x = rng.standard_normal((101, 6))
y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)


class Net(nn.Module):
    """With batch norm over all processes, and a parameter that is not used in each step."""

    def __init__(self) -> None:
        self.first = nn.Linear(6, 8)
        self.norm = nn.SyncBatchNorm(8)
        self.last = nn.Linear(8, 2)
        self.spare = nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        return self.last(self.norm(self.first(x)).relu())


class Signal(Callback):
    """Send this process a signal at a batch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if "resume" not in words and os.environ.get("XPNN_RESTARTS", "0") in ("0", "1"):
            kind, rank, batch = words[-3:]
            late = int(batch) + 9 * int(os.environ.get("XPNN_RESTARTS", "0"))
            if trainer.global_rank == int(rank) and trainer.batches == late:
                os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM}[kind])


xpnn.manual_seed(0)
model = Net().double()
if "zero" in words:
    dist.init()
    optimizer = dist.optim.ZeroRedundancyOptimizer(model.parameters(), optim.Adam, lr=0.01)
else:
    optimizer = optim.Adam(model.parameters(), lr=0.01)
trainer = Trainer(
    model,
    optimizer,
    "cross_entropy",
    metrics={
        "accuracy": Accuracy(),
        "error": lambda outputs, labels: (outputs.argmax(1) != labels).double().mean(),
    },
    out=folder,
    progress=False,
    accumulate_grad_batches=2,
    gradient_clip_val=1.0,
    callbacks=[
        *([Signal()] if "kill" in words or "term" in words else []),
        *([ModelCheckpoint(every_batches=1)] if "often" in words else []),
        *([ModelCheckpoint(train_time_interval={"seconds": 0})] if "always" in words else []),
    ],
)
loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
validation = DataLoader(TensorDataset(x[:33], y[:33]), batch_size=16)
try:
    if "twice" in words:
        trainer.fit(loader, validation, epochs=1)
    history = trainer.fit(loader, validation, epochs=int(epochs), resume="resume" in words)
except (Interrupted, Terminated) as ending:
    sys.exit(ending.code)
assert trainer.world_size == int(os.environ.get("PMI_SIZE", "1"))
if trainer.is_global_zero:
    sums = [float((p.array**2).sum()) for p in model.parameters()]
    print(json.dumps({"rows": history.rows(), "sums": sums}))
