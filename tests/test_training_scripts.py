"""Training loops as they stand in PyTorch's tutorials: one source, two libraries, the same numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
import xpnn.utils.data
from xpnn.backend import to_numpy

torch = pytest.importorskip("torch")

MINE = SimpleNamespace(torch=xpnn, nn=xpnn.nn, F=xpnn.nn.functional, data=xpnn.utils.data)
THEIRS = SimpleNamespace(torch=torch, nn=torch.nn, F=torch.nn.functional, data=torch.utils.data)

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((50, 1, 6, 6)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 50)


def with_the_same_weights(model: Any) -> Any:
    """The model, with weights that depend on their names alone."""
    with (xpnn if isinstance(model, xpnn.nn.Module) else torch).no_grad():
        for number, (_, p) in enumerate(model.named_parameters()):
            values = np.random.default_rng(number).uniform(-0.3, 0.3, tuple(p.shape))
            make = xpnn.tensor if isinstance(model, xpnn.nn.Module) else torch.tensor
            p.copy_(make(values.tolist()))
    return model


def quickstart(lib: Any) -> list[float]:
    """A dataset class, two functions `train_loop` and `test_loop`, a network of linear layers."""
    torch, nn = lib.torch, lib.nn

    class Images(lib.data.Dataset):
        def __init__(self, images: Any, labels: Any, transform: Any = None) -> None:
            self.images, self.labels, self.transform = images, labels, transform

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, idx: int) -> Any:
            image = torch.from_numpy(self.images[idx].copy())
            if self.transform:
                image = self.transform(image)
            return image, int(self.labels[idx])

    class NeuralNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = nn.Flatten()
            self.linear_relu_stack = nn.Sequential(nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 3))

        def forward(self, x: Any) -> Any:
            return self.linear_relu_stack(self.flatten(x))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    told: list[float] = []
    training_data = Images(IMAGES[:40], LABELS[:40], transform=lambda image: image * 2)
    train_dataloader = lib.data.DataLoader(training_data, batch_size=16)
    test_dataloader = lib.data.DataLoader(Images(IMAGES[40:], LABELS[40:]), batch_size=4)
    model = with_the_same_weights(NeuralNetwork()).to(device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-1)

    def train_loop(dataloader: Any) -> None:
        size = len(dataloader.dataset)
        model.train()
        for batch, (X, y) in enumerate(dataloader):
            X, y = X.to(device), y.to(device)
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            told.append(loss.item())
            told.append((batch + 1) * len(X) / size)

    def test_loop(dataloader: Any) -> None:
        size, num_batches = len(dataloader.dataset), len(dataloader)
        model.eval()
        test_loss, correct = 0, 0
        with torch.no_grad():
            for X, y in dataloader:
                X, y = X.to(device), y.to(device)
                pred = model(X)
                test_loss += loss_fn(pred, y).item()
                correct += (pred.argmax(1) == y).type(torch.float).sum().item()
        told.append(test_loss / num_batches)
        told.append(correct / size)

    for _ in range(3):
        train_loop(train_dataloader)
        test_loop(test_dataloader)
    return told


def classifier(lib: Any) -> list[float]:
    """A convolutional network, running means, a schedule, weights kept when they are best."""
    torch, nn, F = lib.torch, lib.nn, lib.F

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
            self.pool = nn.MaxPool2d(2, 2)
            self.fc1 = nn.Linear(4 * 3 * 3, 3)

        def forward(self, x: Any) -> Any:
            x = self.pool(F.relu(self.conv1(x)))
            x = x.view(x.size(0), -1)
            return F.log_softmax(self.fc1(x), dim=1)

    whole = lib.data.TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    parts = {"train": lib.data.Subset(whole, range(40)), "val": lib.data.Subset(whole, range(40, 50))}
    dataloaders = {
        x: lib.data.DataLoader(parts[x], batch_size=8, shuffle=False, num_workers=0) for x in parts
    }
    dataset_sizes = {x: len(parts[x]) for x in parts}
    net = with_the_same_weights(Net())
    criterion = nn.NLLLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    told, best_acc, best = [], 0.0, None
    for _ in range(4):
        for phase in ["train", "val"]:
            net.train(phase == "train")
            running_loss, running_corrects, total = 0.0, 0, 0
            for i, data in enumerate(dataloaders[phase], 0):
                inputs, labels = data
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = net(inputs)
                    _, predicted = torch.max(outputs.data, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(predicted == labels.data)
                total += labels.size(0)
                if i % 2 == 1:
                    told.append(running_loss / total)
            if phase == "train":
                scheduler.step()
            epoch_acc = running_corrects.double() / dataset_sizes[phase]
            told += [running_loss / dataset_sizes[phase], epoch_acc.item(), scheduler.get_last_lr()[0]]
            if phase == "val" and epoch_acc > best_acc:
                best_acc, best = epoch_acc, {k: v.clone() for k, v in net.state_dict().items()}
    if best is not None:
        net.load_state_dict(best)
    images, labels = next(iter(dataloaders["val"]))
    told += net(images).exp().sum(1).tolist()
    return told


def regression(lib: Any) -> list[float]:
    """Lists of dicts with texts, a collate function of one's own, a closure."""
    torch, nn = lib.torch, lib.nn
    samples = [{"x": row.reshape(-1)[: 4 + n % 3].tolist(), "y": float(n), "name": f"s{n}"} for n, row in
               enumerate(IMAGES[:12])]  # fmt: skip

    def pad(batch: Any) -> Any:
        lengths = torch.tensor([len(sample["x"]) for sample in batch])
        rows = [torch.tensor(sample["x"]) for sample in batch]
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return x, lengths, torch.tensor([[s["y"]] for s in batch]), [s["name"] for s in batch]

    loader = lib.data.DataLoader(samples, batch_size=6, collate_fn=pad, drop_last=True)
    model = with_the_same_weights(nn.Linear(6, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    told = []
    for _ in range(3):
        for x, lengths, y, names in loader:
            assert names[0] in ("s0", "s6")

            def closure(x: Any = x, y: Any = y) -> Any:
                optimizer.zero_grad()
                loss = ((model(x) - y) ** 2).mean()
                loss.backward()
                return loss

            told += [optimizer.step(closure).item(), lengths.sum().item(), lengths.max().item()]
    for row in lib.data.DataLoader([{"v": s["y"], "n": s["name"]} for s in samples], batch_size=5):
        told += [*row["v"].tolist(), len(row["n"])]
    return told


@pytest.mark.parametrize("script", [quickstart, classifier, regression])
def test_a_script_gives_pytorchs_numbers(backend: Target, script: Any) -> None:
    np.testing.assert_allclose(script(MINE), script(THEIRS), rtol=2e-4, atol=1e-5)


def test_a_model_of_one_backend_and_a_loader(backend: Target) -> None:
    model = xpnn.nn.Linear(36, 2)
    loader = xpnn.utils.data.DataLoader(xpnn.data.TensorDataset(IMAGES.reshape(50, 36)), batch_size=25)
    outputs = [to_numpy(model(x).detach()) for (x,) in loader]
    assert np.concatenate(outputs).shape == (50, 2)
