"""GoogLeNet in PyTorch, with or without auxiliary classifiers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from nnvis.blocks.chains import scaled

#: Channels of each module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


class Conv(nn.Module):
    """A convolution with batch normalisation and ReLU."""

    def __init__(self, inputs: int, channels: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x)).relu_()


class Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, projection: int):
        super().__init__()
        self.branch1 = Conv(inputs, one)
        self.branch2 = nn.Sequential(Conv(inputs, reduce3), Conv(reduce3, three, 3))
        self.branch3 = nn.Sequential(Conv(inputs, reduce5), Conv(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Conv(inputs, projection))
        self.outputs = one + three + five + projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    """An auxiliary classifier."""

    def __init__(self, inputs: int, channels: int, hidden: int, classes: int, dropout: float):
        super().__init__()
        self.conv = Conv(inputs, channels)
        self.fc1, self.fc2 = nn.Linear(16 * channels, hidden), nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(self.fc1(x).relu_()))


class GoogLeNet(nn.Module):
    """Twin of ``zoo.googlenet``; in training its output is a tuple: logits, then those of the auxiliary classifiers."""

    def __init__(
        self,
        classes: int = 1000,
        small: bool = False,
        aux: bool = True,
        width: float = 1.0,
        dropout: float = 0.2,
        aux_dropout: float = 0.7,
    ):
        super().__init__()
        w64, w192 = scaled(64, width), scaled(192, width)
        self.small = small
        self.conv1 = Conv(3, w64, *((3, 1) if small else (7, 2)))
        self.conv2, self.conv3 = Conv(w64, w64), Conv(w64, w192, 3)
        inputs = w192
        self.heads: dict[str, str] = {}
        for name, widths in _MODULES.items():
            module = Inception(inputs, *(scaled(channels, width) for channels in widths))
            setattr(self, f"inception{name}", module)
            inputs = module.outputs
            if aux and name in ("4a", "4d"):
                self.heads[name] = f"aux{len(self.heads) + 1}"
                head = Head(inputs, scaled(128, width), scaled(1024, width), classes, aux_dropout)
                setattr(self, self.heads[name], head)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        x = self.conv1(x)
        x, found = _pool(self.conv3(self.conv2(x if self.small else _pool(x)))), []
        for name in _MODULES:
            x = self.get_submodule(f"inception{name}")(x)
            if self.training and name in self.heads:
                found.append(self.get_submodule(self.heads[name])(x))
            x = _pool(x) if name == "3b" else _pool(x, 2) if name == "4e" else x
        logits = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, *found) if found else logits


def _pool(x: torch.Tensor, kernel: int = 3) -> torch.Tensor:
    return F.max_pool2d(x, kernel, 2, ceil_mode=True)
