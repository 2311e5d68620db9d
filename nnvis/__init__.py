"""nnvis: a deep-learning engine that one can take apart."""

from nnvis import blocks, data, events, init, io, runs, schedules, zoo
from nnvis.data import Augmentation
from nnvis.errors import NnvisError
from nnvis.evaluate import evaluate, predict
from nnvis.folding import fold_batch_norm
from nnvis.gradcheck import gradcheck
from nnvis.graph import Graph, Node, Sequential
from nnvis.layers import *  # noqa: F403
from nnvis.layers import __all__ as _layers
from nnvis.losses import MSE, BCEWithLogits, CrossEntropy
from nnvis.network import Network
from nnvis.optim import SGD, Adam, AdamW, RMSprop
from nnvis.options import EarlyStopping
from nnvis.runs import load_run
from nnvis.schedules import Cosine, Step, Warmup
from nnvis.train import Run, fit, resume, train
from nnvis.trainer import Trainer

__version__ = "0.1.0"
__all__ = [
    "MSE", "SGD", "Adam", "AdamW", "Augmentation", "BCEWithLogits", "Cosine", "CrossEntropy", "EarlyStopping", "Graph",
    "Network", "NnvisError", "Node", "RMSprop", "Run", "Sequential", "Step", "Trainer", "Warmup", "blocks", "data",
    "evaluate", "events", "fit", "fold_batch_norm", "gradcheck", "init", "io", "load_run", "predict", "resume", "runs",
    "schedules", "train", "zoo", *_layers,
]  # fmt: skip
