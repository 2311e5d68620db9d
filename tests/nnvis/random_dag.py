"""Random branching networks with the same function written in PyTorch."""

from __future__ import annotations

import numpy as np

import nnvis as nv


def random_dag(seed: int, nodes: int = 14):
    """A random graph of adds, splits, gates, pools, norms, attention, grouped convolutions, and its PyTorch function.

    Returns
    -------
    graph : Graph
    run : callable
        ``run(state, x)`` with tensors in PyTorch's order.
    """
    random = np.random.default_rng(seed)
    graph = nv.Graph((12, 12, 4), name=f"dag{seed}")
    steps: list = []
    pool = [("input", (12, 12, 4))]

    def grow(layer, sources, function):
        node = graph.add(layer, [name for name, _ in sources] if len(sources) > 1 else sources[0][0])
        steps.append((node.name, [name for name, _ in sources], function))
        graph.output = node
        pool.append((node.name, graph.shapes()[node.name]))

    for _ in range(nodes):
        (_grow_within_examples if random.random() < 0.3 else _grow_once)(random, pool, grow)
    _join_all(graph, pool, grow)
    graph.output = graph.add(nv.Linear(5), pool[-1][0], name="fc")

    def run(state, x):
        values = {"input": x}
        for name, sources, function in steps:
            values[name] = function(state, name, *[values[s] for s in sources])
        return values[steps[-1][0]] @ state["fc.weight"].T + state["fc.bias"]

    return graph, run


def _grow_once(random, pool, grow) -> None:
    import torch
    from torch.nn import functional as F

    source = pool[random.integers(len(pool))]
    height, _, channels = source[1]
    alike = [p for p in pool if p[1] == source[1]]
    same_size = [p for p in pool if p[1][:2] == source[1][:2]]
    other, neighbour = alike[random.integers(len(alike))], same_size[random.integers(len(same_size))]
    choice = random.choice(["conv", "grouped", "dilated", "bn", "act", "pool", "add", "concat", "split", "multiply"])
    if choice == "conv":
        out, k = int(random.integers(1, 9)), int(random.choice([1, 3, 5]))
        conv = lambda s, n, x: F.conv2d(x, s[n + ".weight"], s[n + ".bias"], padding=k // 2)  # noqa: E731
        grow(nv.Conv2d(out, k, padding=k // 2), [source], conv)
    elif choice == "grouped":
        groups = int(random.choice([g for g in (1, 2, 4) if channels % g == 0]))
        conv = lambda s, n, x: F.conv2d(x, s[n + ".weight"], None, padding=1, groups=groups)  # noqa: E731
        grow(nv.Conv2d(4 * groups, 3, padding=1, groups=groups, bias=False), [source], conv)
    elif choice == "dilated":
        conv = lambda s, n, x: F.conv2d(x, s[n + ".weight"], s[n + ".bias"], padding=2, dilation=2)  # noqa: E731
        grow(nv.Conv2d(6, 3, padding=2, dilation=2), [source], conv)
    elif choice == "bn":
        norm = lambda s, n, x: F.batch_norm(x, None, None, s[n + ".weight"], s[n + ".bias"], True)  # noqa: E731
        grow(nv.BatchNorm2d(), [source], norm)
    elif choice == "act":
        layer, function = [
            (nv.Tanh(), torch.tanh), (nv.SiLU(), F.silu), (nv.GELU(), F.gelu), (nv.Sigmoid(), torch.sigmoid),
            (nv.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)), (nv.ReLU(), F.relu),
        ][random.integers(6)]  # fmt: skip
        grow(layer, [source], lambda s, n, x: function(x))
    elif choice == "pool" and height > 3:
        grow(nv.AvgPool2d(2), [source], lambda s, n, x: F.avg_pool2d(x, 2))
    elif choice == "multiply":
        grow(nv.Multiply(), [source, other], lambda s, n, x, y: x * y)
    elif choice == "concat" and channels + neighbour[1][2] <= 24:
        grow(nv.Concat(), [source, neighbour], lambda s, n, x, y: torch.cat([x, y], 1))
    elif choice == "split" and channels > 1:
        cut = int(random.integers(1, channels))
        grow(nv.Split((cut, channels - cut), 0), [source], lambda s, n, x: x[:, :cut])
    else:
        grow(nv.Add(), [source, other], lambda s, n, x, y: x + y)


def _grow_within_examples(random, pool, grow) -> None:
    from torch.nn import functional as F

    source = pool[random.integers(len(pool))]
    height, _, channels = source[1]
    alike = [p for p in pool if p[1] == source[1]]
    groups = int(random.choice([g for g in (1, 2, 3, 4) if channels % g == 0]))
    choice = random.choice(["group", "layer", "response", "shuffle", "gate", "upsample", "attention"])
    if choice == "group":
        norm = lambda s, n, x: F.group_norm(x, groups, s[n + ".weight"], s[n + ".bias"], 0.1)  # noqa: E731
        grow(nv.GroupNorm(groups, 0.1), [source], norm)
    elif choice == "layer":
        weights = lambda s, n: (s[n + ".weight"], s[n + ".bias"])  # noqa: E731
        norm = lambda s, n, x: F.layer_norm(x.movedim(1, 3), (channels,), *weights(s, n), 0.1).movedim(3, 1)  # noqa: E731
        grow(nv.LayerNorm(0.1), [source], norm)
    elif choice == "response":
        grow(nv.LocalResponseNorm(3, 0.5), [source], lambda s, n, x: F.local_response_norm(x, 3, 0.5))
    elif choice == "shuffle":
        grow(nv.ChannelShuffle(groups), [source], lambda s, n, x: F.channel_shuffle(x, groups))
    elif choice == "gate":
        grow(nv.GlobalAvgPool2d(), [source], lambda s, n, x: x.mean((2, 3)))
        vector = pool.pop()
        grow(nv.Multiply(), [source, vector], lambda s, n, x, gate: x * gate[:, :, None, None])
    elif choice == "upsample" and height <= 6:
        bigger = lambda s, n, x: F.interpolate(x, scale_factor=2, mode="bilinear")  # noqa: E731
        grow(nv.Upsample(2, "bilinear"), [source], bigger)
    else:
        inputs = [alike[random.integers(len(alike))] for _ in range(3)]

        def attend(s, n, *xs):
            q, k, v = (x.flatten(2).transpose(1, 2) for x in xs)
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(xs[0].shape)

        grow(nv.Attention(), inputs, attend)


def _join_all(graph, pool, grow) -> None:
    """Lead every loose end to the output, so that the whole graph is tested."""
    import torch

    read = {name for node in graph for name in node.inputs}
    ends = [p for p in pool if p[0] not in read and p[0] != "input"]
    vectors = []
    for end in ends:
        grow(nv.GlobalAvgPool2d(), [end], lambda s, n, x: x.mean((2, 3)))
        vectors.append(pool[-1])
    if len(vectors) > 1:
        grow(nv.Concat(), vectors, lambda s, n, *xs: torch.cat(xs, 1))
