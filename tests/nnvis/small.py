"""Small networks and data sets that train in no time."""

from __future__ import annotations

import numpy as np

import nnvis as nv


def mlp(device: str = "reference", seed: int = 0, outputs: int = 2) -> nv.Network:
    """Two inputs, 12 hidden units."""
    layers = [nv.Linear(12), nv.Tanh(), nv.Linear(outputs)]
    return nv.Network(nv.Sequential(layers, input_shape=(2,), name="mlp"), device=device, seed=seed)


def conv_net(device: str = "reference", seed: int = 0, classes: int = 3) -> nv.Network:
    """8x8 images; convolution, batch norm and dropout, so that all kinds of state occur."""
    graph = nv.Graph((8, 8, 1), name="small")
    last = graph.add(nv.Conv2d(4, 3, padding=1, bias=False), graph.input, name="conv")
    last = graph.add(nv.ReLU(), graph.add(nv.BatchNorm2d(), last, name="bn"), name="relu")
    last = graph.add(nv.Dropout(0.25), graph.add(nv.Flatten(), graph.add(nv.MaxPool2d(2), last)), name="dropout")
    graph.output = graph.add(nv.Linear(classes), last, name="fc")
    return nv.Network(graph, device=device, seed=seed)


def images(count: int = 70, classes: int = 3, seed: int = 0) -> nv.data.Dataset:
    """Images (8, 8, 1) in which a bright bar tells the class; a third of them for testing."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=count)
    pixels = random.integers(0, 120, size=(count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 1 + 2 * label] += 120
    return nv.data.from_arrays(pixels, labels, name="bars", num_classes=classes, test_split=0.3)


def moons(count: int = 60) -> nv.data.Dataset:
    """Two half circles in the plane."""
    return nv.data.load("moons", samples=count, test_samples=20, noise=0.1)


def same_state(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether all arrays agree to the last bit."""
    return first.keys() == second.keys() and all(first[k].tobytes() == second[k].tobytes() for k in first)
