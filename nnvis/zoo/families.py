"""The order in which the zoo is listed: by family, as a course tells of them."""

from __future__ import annotations

#: What each file of this folder holds. Files that are not named here come last, under their own name.
FAMILIES = {
    "basics": "Without convolution",
    "lenet": "LeNet-5: convolution and pooling (LeCun et al., 1998)",
    "alex": "AlexNet: deep, with ReLU and dropout (Krizhevsky et al., 2012)",
    "network_in_network": "Network in Network: 1x1 convolutions (Lin et al., 2013)",
    "vgg": "VGG: 3x3 windows throughout (Simonyan and Zisserman, 2014)",
    "inception": "GoogLeNet: branches side by side (Szegedy et al., 2015)",
    "resnet": "ResNet: shortcuts (He et al., 2015), gates, attention, deformable windows",
    "resnet_cifar": "ResNet for 32x32 images (He et al., 2015)",
    "cifar": "ResNet-20 with gates, attention, deformable windows",
    "sknet": "SKNet: a choice of window sizes (Li et al., 2019)",
    "mobilenet": "MobileNet: depthwise convolutions (Howard et al., 2017; Sandler et al., 2018)",
    "shufflenet": "ShuffleNet V2: channels shuffled (Ma et al., 2018)",
    "mnasnet": "MnasNet: searched for phones (Tan et al., 2019)",
    "condconv": "CondConv: filters mixed for each image (Yang et al., 2019)",
    "darts": "DARTS: searched by gradient descent (Liu et al., 2019)",
    "vit": "Vision Transformer: attention between patches (Dosovitskiy et al., 2021)",
}


def rank(family: str) -> int:
    """Place of a family in the list."""
    return list(FAMILIES).index(family) if family in FAMILIES else len(FAMILIES)
