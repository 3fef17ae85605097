"""Trains `digits.net` on scikit-learn's handwritten digits; writes its weights and the test split beside this file.

    python examples/train_digits.py

The digits are those of scikit-learn: the test part of the UCI data set "Optical Recognition of Handwritten Digits"
(Alpaydin & Kaynak 1998). Needs PyTorch and scikit-learn.

A stratified fifth of the images is the test split; training never sees it, and it chooses nothing: one run of fixed
length, its settings found by cross-validation within the other four fifths (`--validate`).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).parent
EPOCHS, BATCH, RATE = 120, 32, 3e-3


def digits() -> tuple[np.ndarray, np.ndarray]:
    """All images, uint8 `N x 1 x 8 x 8` from 0 to 255 (scikit-learn has 0 to 16), and their labels."""
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    return images[:, None], data.target.astype(np.uint8)


def network() -> nn.Sequential:
    """The same layers as `digits.net`, named as netdsl names its weights."""
    net = nn.Sequential()
    for name, layer in (
        ("conv", nn.Conv2d(1, 24, 3, padding=1)),
        ("relu", nn.ReLU()),
        ("conv2", nn.Conv2d(24, 24, 3, padding=1)),
        ("relu2", nn.ReLU()),
        ("pool", nn.MaxPool2d(2)),
        ("conv3", nn.Conv2d(24, 48, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(48, 48, 3, padding=1)),
        ("relu4", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(192, 96)),
        ("relu5", nn.ReLU()),
        ("dropout", nn.Dropout(0.3)),
        ("fc2", nn.Linear(96, 10)),
    ):
        net.add_module(name, layer)
    return net


def distort(images: Tensor) -> Tensor:
    """Each image turned by up to 10 degrees, scaled by up to 10% and moved by up to one pixel."""
    n = len(images)
    angle = (torch.rand(n) * 2 - 1) * math.radians(10)
    scale = 1 + (torch.rand(n) * 2 - 1) * 0.1
    shift = (torch.rand(n, 2) * 2 - 1) * (2 / 8)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack((torch.stack((cos, -sin, shift[:, 0]), 1), torch.stack((sin, cos, shift[:, 1]), 1)), 1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(images: np.ndarray, labels: np.ndarray, seed: int) -> nn.Sequential:
    """A network trained on these images alone."""
    torch.manual_seed(seed)
    x, y = torch.from_numpy(images).float() / 255, torch.from_numpy(labels).long()
    net = network()
    steps = EPOCHS * math.ceil(len(x) / BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    net.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(net(distort(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def accuracy(net: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images classified as labelled."""
    with torch.no_grad():
        found = net(torch.from_numpy(images).float() / 255).argmax(1).numpy()
    return float((found == labels).mean())


def validate(images: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy over five folds of the training images."""
    scores = []
    for fit, held in StratifiedKFold(5, shuffle=True, random_state=0).split(images, labels):
        scores.append(accuracy(train(images[fit], labels[fit], seed=0), images[held], labels[held]))
        print(f"fold {len(scores)}: {scores[-1]:.2%}")
    return float(np.mean(scores))


def main() -> None:
    """Train and write, or cross-validate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validate", action="store_true", help="cross-validate within the training images instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = digits()
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    if options.validate:
        print(f"mean: {validate(images, labels):.2%}")
        return
    net = train(images, labels, seed=0)
    save_file({name: value.numpy() for name, value in net.state_dict().items()}, HERE / "digits.safetensors")
    save_file({"images": test_images, "labels": test_labels}, HERE / "digits_test.safetensors")
    print(f"{len(test_labels)} test images: {accuracy(net, test_images, test_labels):.2%}")


if __name__ == "__main__":
    main()
