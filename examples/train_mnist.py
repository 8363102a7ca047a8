"""A LeNet on MNIST with the loop written out: python examples/train_mnist.py FOLDER_OF_THE_FILES."""

import sys

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.data import MNIST, DataLoader, ToFloat

xpnn.manual_seed(0)  # and xpnn.set_backend("torch"), "jax", "cupy" ... for another library than NumPy
folder = sys.argv[1] if len(sys.argv) > 1 else "data"  # missing files are downloaded
train_set = MNIST(folder, train=True, transform=ToFloat(), download=True)
test_set = MNIST(folder, train=False, transform=ToFloat(), download=True)
train_loader = DataLoader(train_set, batch_size=128, shuffle=True)
test_loader = DataLoader(test_set, batch_size=1000)

model = nn.Sequential(
    nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
    nn.Flatten(),
    nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
)
optimizer = optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(1, 4):
    model.train()
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    model.eval()
    correct = 0
    with xpnn.no_grad():
        for images, labels in test_loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    print(f"epoch {epoch}: loss {loss.item():.4f}, test accuracy {correct / len(test_set):.2%}")
