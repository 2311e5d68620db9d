"""A training in the middle, as a value: what a project file holds of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nnvis.errors import CheckpointError
from nnvis.options import TrainOptions
from nnvis.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class PausedRun:
    """All that :meth:`nnvis.training.Training.restore` needs.

    Attributes
    ----------
    checkpoint : Checkpoint
    options : TrainOptions
        The options that it was trained with.
    facts : dict
        The data that it was trained on; see :func:`nnvis.runs.source.data_facts`.
    """

    checkpoint: Checkpoint
    options: TrainOptions
    facts: dict[str, Any]

    @property
    def step(self) -> int:
        """Finished steps."""
        return int(self.checkpoint.state["step"])

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        state = self.checkpoint.state
        return bool(state["ended"]) or state["epoch"] >= self.options.epochs

    def circumstances(self) -> str:
        """Options and data as JSON text, which belongs beside the checkpoint."""
        return json.dumps({"options": self.options.config(), "data": self.facts}, indent=1)

    @classmethod
    def of(cls, checkpoint: Checkpoint, circumstances: str | bytes) -> PausedRun:
        """The run whose parts these are; CheckpointError if they are damaged."""
        try:
            found = json.loads(circumstances)
            return cls(checkpoint, TrainOptions.from_config(found["options"]), dict(found["data"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"What is known about the run is damaged: {error}.") from None
