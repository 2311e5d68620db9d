"""The scopes: live views of a network that learns, one dock each."""

from ui.scopes.activations import ActivationScope
from ui.scopes.base import Scope
from ui.scopes.gradients import GradientScope
from ui.scopes.loss import LossScope
from ui.scopes.predictions import PredictionScope
from ui.scopes.weights import WeightScope

ALL_SCOPES: tuple[type[Scope], ...] = (LossScope, GradientScope, WeightScope, ActivationScope, PredictionScope)

__all__ = ["ALL_SCOPES", "Scope"]
