"""How the engine runs each node in training: by which algorithm, and together with which others."""

from __future__ import annotations

from nnvis.device import get_device
from nnvis.errors import DeviceError
from nnvis.plan import Mode, Plan
from nnvis.plan_table import PlanRow, plan_table
from ui.document.analysis import working_graph
from ui.document.state import DocumentState

#: What a learner reads for an algorithm's name.
ALGORITHMS = {
    "direct": "as direct sums",
    "depthwise": "channel by channel",
    "folded": "as columns of a window's row, folded together",
    "matrix product": "as a matrix product",
    "planes": "on planes, many pixels of a channel at a time",
    "sparse": "as sums over the pixels that win the pool",
    "winograd2": "by Winograd F(2x2, 3x3)",
    "winograd4": "by Winograd F(4x4, 3x3)",
}

#: What a learner reads for a pass.
PASSES = {"forward": "forward", "data": "gradient of the input", "weights": "gradient of the weights"}


def executions(state: DocumentState) -> dict[str, list[str]]:
    """Sentences about each node of a network that works, by name; none for a node that runs as it stands."""
    try:
        device = get_device(state.settings.device)
    except DeviceError:
        return {}
    plan = Plan(working_graph(state), state.settings.options.batch_size, Mode(training=True, backward=True), device)
    return {name: _sentences(row, name) for row in plan_table(plan) for name in row.nodes}


def _sentences(row: PlanRow, name: str) -> list[str]:
    sentences = [f"runs {_how(row.algorithms)}"] if row.algorithms and name == row.main else []
    if others := [other for other in row.nodes if other != name]:
        sentences.append(f"runs in one with {' and '.join(others)} while none of them is watched")
    return sentences


def _how(algorithms: dict[str, str]) -> str:
    """One phrase where all passes agree, else one for each pass."""
    phrases = {each: ALGORITHMS.get(algorithm, algorithm) for each, algorithm in algorithms.items()}
    if len(set(phrases.values())) == 1:
        return phrases["forward"]
    return "; ".join(f"{phrase} ({PASSES[each]})" for each, phrase in phrases.items())
