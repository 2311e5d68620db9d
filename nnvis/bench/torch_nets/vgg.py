"""VGG in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

_CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    stages: tuple[int, ...] = (1, 1, 2, 2, 2),
    small: bool = True,
    classes: int = 10,
    batch_norm: bool = False,
    width: float = 1.0,
    hidden: int = 4096,
    dropout: float = 0.5,
) -> nn.Module:
    """Twin of ``zoo.vgg11`` (these `stages`) and its deeper kin; `small` is the form for 32x32 images."""
    layers: list[nn.Module] = []
    inputs, outputs = 3, [int(channels * width) for channels in _CHANNELS]
    for count, channels in zip(stages, outputs, strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(inputs, channels, 3, padding=1))
            layers += [nn.BatchNorm2d(channels)] * batch_norm
            layers.append(nn.ReLU(inplace=True))
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    parts: OrderedDict[str, nn.Module] = OrderedDict(features=nn.Sequential(*layers))
    if small:
        return nn.Sequential(parts | OrderedDict(flatten=nn.Flatten(), classifier=nn.Linear(inputs, classes)))
    ends = OrderedDict(avgpool=nn.AdaptiveAvgPool2d(7), flatten=nn.Flatten())
    return nn.Sequential(parts | ends | OrderedDict(classifier=_classifier(49 * inputs, hidden, classes, dropout)))


def _classifier(inputs: int, hidden: int, classes: int, dropout: float) -> nn.Module:
    first = [nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    second = [nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*first, *second, nn.Linear(hidden, classes))
