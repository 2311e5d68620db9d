"""The zoo beside the code of torchvision and timm, where these can be imported: names, shapes, logits at full size."""

from __future__ import annotations

import importlib

import pytest

import nnvis as nv
from nnvis.io.torch_layout import torch_shapes
from tests.nnvis.torch_twin import as_torch, images, relative_error, shake_batch_norms, torch

#: Name in torchvision, where it is the same here.
TORCHVISION = [
    "alexnet", "vgg11", "vgg16_bn", "googlenet", "resnet18", "resnet50", "mobilenet_v2", "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0", "mnasnet0_5", "mnasnet1_0", "vit_b_16", "vit_b_32",
]  # fmt: skip
#: Name here and in timm.
TIMM = {
    "mobilenet_v1": "mobilenetv1_100", "se_resnet50": "seresnet50", "sknet50": "skresnext50_32x4d",
    "sk_resnet18": "skresnet18", "mnasnet_a1": "semnasnet_100",
}  # fmt: skip

#: What published weights expect, where the paper has something else.
OPTIONS = {"mobilenet_v1": {"relu6": True}}


def imported(name: str):
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # a build of torchvision for another PyTorch
        pytest.skip(f"{name} cannot be imported: {error}")


def published(name: str):
    """The other side's network, not trained."""
    torch.manual_seed(0)
    if name in TIMM:
        return imported("timm").create_model(TIMM[name], pretrained=False)
    options = {"init_weights": False} if name == "googlenet" else {}
    return getattr(imported("torchvision").models, name)(weights=None, **options)


@pytest.mark.parametrize("name", [*TORCHVISION, *TIMM])
def test_names_shapes_and_logits_are_those_of_published_code(name):
    model, graph = published(name).eval(), nv.zoo.build(name, **OPTIONS.get(name, {}))
    if name.startswith("vit"):  # torchvision's starts at zero
        torch.nn.init.normal_(model.heads.head.weight, std=0.02)
    shake_batch_norms(model)
    state = {n: v.detach().numpy() for n, v in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert {n: v.shape for n, v in state.items()} == torch_shapes(graph)
    net = nv.Network(graph)
    net.load_state_dict(nv.io.from_torch(graph, state))
    x, _ = images(graph, 1)
    with torch.no_grad():
        expected = model(as_torch(x)).numpy()
    assert relative_error(net.forward(x), expected) < 1e-4
