"""nnvis: a deep-learning engine that one can take apart."""

from nnvis import data, init, zoo
from nnvis.errors import NnvisError
from nnvis.graph import Graph, Node, Sequential
from nnvis.layers import *  # noqa: F403
from nnvis.layers import __all__ as _layers
from nnvis.network import Network

__version__ = "0.1.0"
__all__ = ["Graph", "Network", "NnvisError", "Node", "Sequential", "data", "init", "zoo", *_layers]
