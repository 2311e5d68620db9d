"""One generic check for every layer: shape, gradients against finite differences, fast against textbook, config."""

from __future__ import annotations

import numpy as np

import nnvis as nv
from nnvis.layers.base import Layer

#: A float32 kernel may differ from the textbook form by this share of the largest value.
TOLERANCE = 1e-4


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a share of the largest expected value."""
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-3)
    return float(np.abs(np.asarray(actual, np.float64) - expected).max(initial=0.0)) / scale


def graph_of(layer: Layer, shapes: list[tuple[int, ...]]) -> nv.Graph:
    """A graph that feeds `layer` inputs of these shapes, all cut from one flat input vector."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    graph = nv.Graph((sum(sizes),), name=layer.kind)
    parts = []
    for part, shape in enumerate(shapes):
        cut = graph.add(nv.Split(tuple(sizes), part), graph.input)
        parts.append(graph.add(nv.Reshape(shape), cut))
    graph.output = graph.add(layer, parts, name="layer")
    return graph


def check_layer(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, training: bool = True) -> None:
    """Assert all that must hold for a layer on inputs of these `shapes`."""
    assert Layer.from_config(layer.kind, layer.config()) == layer
    graph = graph_of(layer, list(shapes))
    assert nv.Graph.from_json(graph.to_json()).to_json() == graph.to_json()
    reference = nv.Network(graph, device="reference", seed=seed)
    random = np.random.default_rng(seed)
    randomise(reference, random)
    # Distinct values: a step of 1e-6 never crosses a kink or changes which value is the largest.
    count = batch * graph.input_shape[0]
    x = (random.permutation(count) / count * 4 - 2 + 0.5 / count).reshape(batch, -1)
    weights = random.normal(size=(batch, *reference.output_shape))

    def loss() -> float:
        reference.training_passes = 0
        return float((reference.forward(x, training) * weights).sum())

    loss()
    dx = reference.backward(weights)
    gradients = reference.gradients()
    _check_against_differences(loss, reference.parameters.values | {"x": x}, gradients | {"x": dx}, random)
    if not any(n.layer.is_random for n in graph):
        check_fast(reference, x, weights, training)


def randomise(net: nv.Network, random: np.random.Generator) -> None:
    """Parameters and running statistics away from their special initial values (0 and 1)."""
    for name, value in (net.parameters.values | net.buffers).items():
        value[...] = random.uniform(0.5, 1.5, value.shape) if "var" in name else random.normal(size=value.shape)
    net.parameters.version += 1


def _check_against_differences(loss, arrays, gradients, random, samples: int = 4, step: float = 1e-6) -> None:
    for name, array in arrays.items():
        scale = max(float(np.abs(gradients[name]).max()), 1e-2)
        for _ in range(min(samples, array.size)):
            at = tuple(random.integers(size) for size in array.shape)
            middle = array[at]
            array[at] = middle + step
            high = loss()
            array[at] = middle - step
            low = loss()
            array[at] = middle
            difference = (high - low) / (2 * step)
            assert abs(difference - gradients[name][at]) <= 1e-4 * scale, f"gradient of {name}{at}"


def check_fast(
    reference: nv.Network, x: np.ndarray, weights: np.ndarray, training: bool = True, device: str = "cpu"
) -> None:
    """Assert that a device computes what the textbook one does: output, gradients of `weights`, running statistics."""
    fast, state = nv.Network(reference.graph, device=device), reference.state_dict()
    # Running statistics may have moved before: start both from the same ones.
    reference.training_passes = 0
    expected, dx = reference.forward(x, training), reference.backward(weights)
    gradients, after = reference.gradients(), reference.state_dict()
    for _ in range(2):  # the second time kernel calls may be repeated as they were noted the first time
        fast.load_state_dict(state)
        fast.training_passes = 0
        assert relative_error(fast.forward(x, training), expected) <= TOLERANCE, "output"
        assert relative_error(fast.backward(weights), dx) <= TOLERANCE, "gradient of the input"
        for name, gradient in fast.gradients().items():
            assert relative_error(gradient, gradients[name]) <= TOLERANCE, f"gradient of {name}"
        for name, value in fast.state_dict().items():
            assert relative_error(value, after[name]) <= TOLERANCE, name
        _spoil(fast)


def _spoil(net: nv.Network) -> None:
    """Make sure that the next pass finds nothing of this one."""
    for plan in net._plans.values():
        for array in [*getattr(plan, "gradients", {}).values(), *(flow.y for flow in plan.flows.values())]:
            net.device.memory.write(array, np.nan)
    for array in [*net.parameters.gradients.values(), *net.buffers.values(), *net.parameters.values.values()]:
        net.device.memory.write(array, np.nan)
