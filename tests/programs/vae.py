"""A variational autoencoder that is stopped, saved and gone on with."""

import os
import tempfile

import numpy as np
import torch
import torch.utils.data
from torch import nn, optim
from torch.nn import functional as F

NOISE = np.random.default_rng(7)


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.empty_like(std).copy_(torch.from_numpy(NOISE.standard_normal(std.shape)))
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def train(model, optimizer, train_loader, device):
    model.train()
    train_loss = 0
    for batch_idx, (data, _) in enumerate(train_loader):
        data = data.to(device)
        optimizer.zero_grad(set_to_none=True)
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
    return train_loss / len(train_loader.dataset)


def bars(count):
    rng = np.random.default_rng(3)
    images = np.zeros((count, 1, 8, 8), dtype=np.float32)
    labels = rng.integers(0, 8, count)
    for image, label in zip(images, labels):
        image[0, label] = 1
    return torch.from_numpy(images), torch.from_numpy(labels)


def save_checkpoint(state, filename):
    torch.save(state, filename)


def main():
    torch.manual_seed(1)
    device = torch.device("cpu")
    dataset = torch.utils.data.TensorDataset(*bars(64))
    kwargs = {"num_workers": 0, "pin_memory": False}
    train_loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=False, **kwargs)
    model = VAE().to(device)
    rng = np.random.default_rng(0)
    state = {
        k: torch.from_numpy(rng.normal(0, 0.1, tuple(v.size()))).float()
        for k, v in model.state_dict().items()
    }
    model.load_state_dict(state)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = [train(model, optimizer, train_loader, device) for _ in range(3)]

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pth.tar")
        save_checkpoint(
            {
                "epoch": 3,
                "state_dict": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": min(losses),
            },
            path,
        )
        model, optimizer = None, None
        model = VAE().to(device)
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
        start_epoch = checkpoint["epoch"]
        model.load_state_dict(checkpoint["state_dict"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        assert checkpoint["best"] == min(losses)

    for _ in range(start_epoch, 6):
        losses.append(train(model, optimizer, train_loader, device))
    print("loss", " ".join(f"{loss:.3f}" for loss in losses))

    with torch.no_grad():
        sample = torch.randn(8, 4).to(device)
        sample = model.decode(sample).cpu()
        comparison = torch.cat([dataset[0][0].view(1, 64), sample])
    assert comparison.shape == (9, 64)
    return losses


if __name__ == "__main__":
    main()
