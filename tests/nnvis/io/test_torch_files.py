"""Weights from files of PyTorch: taken over by name, or refused in one sentence with nothing changed."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import nnvis as nv
from nnvis.errors import CheckpointError
from nnvis.io.torch_layout import torch_shapes

SHAPE = (16, 16, 3)


def network(seed: int = 0, classes: int = 5) -> nv.Network:
    """Convolutions, batch norms, and a linear layer behind a flattened image."""
    g = nv.Graph(SHAPE, name="sample")
    y = g.add(nv.Conv2d(6, 3, stride=4, bias=False), g.input, name="conv")
    y = g.add(nv.ReLU(), g.add(nv.BatchNorm2d(), y, name="bn"))
    g.output = g.add(nv.Linear(classes), g.add(nv.Flatten(), y), name="fc")
    net = nv.Network(g, seed=seed)
    random = np.random.default_rng(seed)
    net.load_state_dict({name: random.normal(size=value.shape) for name, value in net.state_dict().items()})
    return net


def in_torch_order(net: nv.Network) -> dict[str, np.ndarray]:
    return nv.io.to_torch(net.graph, net.state_dict()) | {"bn.num_batches_tracked": np.array(7)}


def assert_same(net: nv.Network, other: nv.Network) -> None:
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], value)


def refusal(net: nv.Network, path, **options) -> str:
    """The one sentence of the refusal, after which the network is as it was."""
    before = nv.Network(net.graph)
    before.load_state_dict(net.state_dict())
    with pytest.raises(CheckpointError) as caught:
        nv.io.load_torch_state_dict(net, path, **options)
    assert_same(net, before)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and str(path) in sentence
    return sentence


def test_safetensors_are_taken_over_by_name(tmp_path):
    source, net = network(1), network(2)
    save_file(in_torch_order(source), tmp_path / "w.safetensors")
    nv.io.load_torch_state_dict(net, str(tmp_path / "w.safetensors"))
    assert_same(net, source)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_files_of_pytorch_are_taken_over_by_name(tmp_path, suffix, wrapper):
    torch = pytest.importorskip("torch")
    source, net = network(1), network(2)
    state = {name: torch.from_numpy(value) for name, value in in_torch_order(source).items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / f"w{suffix}")
    nv.io.load_torch_state_dict(net, tmp_path / f"w{suffix}")
    assert_same(net, source)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_widened(tmp_path, kind, suffix):
    torch = pytest.importorskip("torch")
    source, net = network(1), network(2)
    floats = {name: torch.from_numpy(value) for name, value in in_torch_order(source).items()}
    state = {n: v.to(getattr(torch, kind)) if v.is_floating_point() else v for n, v in floats.items()}
    save = torch.save if suffix == ".pth" else pytest.importorskip("safetensors.torch").save_file
    save(state, tmp_path / f"w{suffix}")
    nv.io.load_torch_state_dict(net, tmp_path / f"w{suffix}")
    np.testing.assert_allclose(net.state_dict()["fc.weight"], source.state_dict()["fc.weight"], rtol=1e-2)


@pytest.mark.parametrize("name", ["resnet20", "vit_ti_16", "condconv_resnet20", "vgg11", "lenet5"])
def test_shapes_in_pytorchs_order_are_those_of_converted_weights(name):
    graph = nv.zoo.build(name, num_classes=3, **({"width_mult": 0.125, "hidden": 8} if name == "vgg11" else {}))
    found = {key: value.shape for key, value in nv.io.to_torch(graph, nv.Network(graph).state_dict()).items()}
    assert torch_shapes(graph) == found


def test_other_names_are_refused_with_an_example_of_each_side(tmp_path):
    state = in_torch_order(network(1))
    state["head.weight"] = state.pop("fc.weight")
    save_file(state, tmp_path / "w.safetensors")
    sentence = refusal(network(), tmp_path / "w.safetensors")
    assert "lacks fc.weight" in sentence and "head.weight, which sample has not" in sentence
    assert "(1 missing, 1 unknown)" in sentence and "strict=False" in sentence


def test_what_fits_is_taken_where_that_is_asked_for(tmp_path):
    source, net = network(1), network(2)
    state, old = in_torch_order(source), net.state_dict()["fc.weight"]
    state["head.weight"] = state.pop("fc.weight")
    save_file(state, tmp_path / "w.safetensors")
    nv.io.load_torch_state_dict(net, tmp_path / "w.safetensors", strict=False)
    np.testing.assert_array_equal(net.state_dict()["conv.weight"], source.state_dict()["conv.weight"])
    np.testing.assert_array_equal(net.state_dict()["fc.weight"], old)
    save_file({"module.conv.weight": state["conv.weight"]}, tmp_path / "w.safetensors")
    sentence = refusal(net, tmp_path / "w.safetensors", strict=False)
    assert "module.conv.weight" in sentence and "the network conv.weight" in sentence


@pytest.mark.parametrize("strict", [True, False])
def test_other_shapes_are_refused_in_pytorchs_order(tmp_path, strict):
    save_file(in_torch_order(network(1, classes=7)), tmp_path / "w.safetensors")
    sentence = refusal(network(), tmp_path / "w.safetensors", strict=strict)
    assert "fc.bias" in sentence or "fc.weight" in sentence
    state = in_torch_order(network(1)) | {"conv.weight": np.zeros((6, 3, 5, 5), np.float32)}
    save_file(state, tmp_path / "w.safetensors")
    sentence = refusal(network(), tmp_path / "w.safetensors", strict=strict)
    assert "conv.weight" in sentence and "6x3x5x5" in sentence and "6x3x3x3" in sentence
    save_file(state | {"conv.weight": np.zeros(6, np.float32)}, tmp_path / "w.safetensors")
    assert "shape 6," in refusal(network(), tmp_path / "w.safetensors", strict=strict)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch = pytest.importorskip("torch")
        torch.save({n: torch.from_numpy(v) for n, v in in_torch_order(network(1)).items()}, path)
    else:
        save_file(in_torch_order(network(1)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "torn" in refusal(network(), path)


def test_no_pickle_is_loaded(tmp_path):
    pytest.importorskip("torch")

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"conv.weight": Trap()}, protocol=2))
    assert "more than weights" in refusal(network(), tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_file_with_something_else_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save([torch.zeros(3)], tmp_path / "w.pth")
    assert "no state_dict" in refusal(network(), tmp_path / "w.pth")


def test_a_pickle_stays_closed_without_pytorch(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install torch" in refusal(network(), tmp_path / "w.pth")


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path):
    assert "check the path" in refusal(network(), tmp_path / "w.safetensors")
    (tmp_path / "w.npz").write_bytes(b"")
    assert "should end in .safetensors" in refusal(network(), tmp_path / "w.npz")
