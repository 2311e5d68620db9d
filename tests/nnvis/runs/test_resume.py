"""Resuming continues bit for bit, whenever and however the run ended."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nnvis as nv
from nnvis.errors import CheckpointError, ConfigError
from nnvis.events import EpochDone, Event, Finished, Started, StepDone, Stopped
from nnvis.options import EarlyStopping
from nnvis.runs import RunFolder, load_checkpoint, read_metrics
from tests.nnvis.small import conv_net, images, mlp, moons, same_state

OPTIONS = {
    "epochs": 3, "batch_size": 8, "optimizer": nv.Adam(lr=0.01, weight_decay=0.01), "schedule": "warmup:1+cosine",
    "augmentation": "crop1,flip", "clip_norm": 1.0, "log_every": 1, "early_stopping": EarlyStopping(9),
}  # fmt: skip


def undisturbed(folder: Path, device: str = "reference") -> None:
    nv.fit(conv_net(device), images(), out=folder, **OPTIONS)


def assert_same_end(one: Path, other: Path) -> None:
    """All arrays, the position, the best epoch and all metrics but times agree exactly."""
    first, second = (load_checkpoint(RunFolder(path).last) for path in (one, other))
    assert same_state(first.net, second.net) and same_state(first.optimizer, second.optimizer)
    assert without_times(first.state) == without_times(second.state)
    assert without_times(read_metrics(one / "metrics.jsonl")) == without_times(read_metrics(other / "metrics.jsonl"))
    best = [load_checkpoint(RunFolder(path).best) for path in (one, other)]
    assert same_state(best[0].net, best[1].net)


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key != "seconds"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def stop_after(folder: Path, step: int, device: str = "reference") -> list[Event]:
    """Run until this step is done, then ask to stop."""
    events: list[Event] = []

    def stop() -> bool:
        return any(isinstance(event, StepDone) and event.step == step for event in events)

    # extend() adds the events one by one, so that stop() sees them.
    events.extend(nv.train(conv_net(device), images(), out=folder, stop=stop, **OPTIONS))
    return events


@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize("step", [1, 7, 10, 14])
def test_a_run_stopped_after_any_step_and_resumed_ends_like_an_undisturbed_one(tmp_path, device, step):
    undisturbed(tmp_path / "whole", device)
    events = stop_after(tmp_path / "parts", step, device)
    assert isinstance(events[-1], Stopped) and events[-1].step == step
    training = nv.resume(tmp_path / "parts", data=images())
    resumed = list(training.run())
    assert resumed[0].step == step if isinstance(resumed[0], Started) else True
    assert isinstance(resumed[-1], Finished)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_run_whose_generator_was_dropped_goes_on_from_its_checkpoint(tmp_path):
    undisturbed(tmp_path / "whole")
    options = OPTIONS | {"checkpoint_every": 2}
    events = nv.train(conv_net(), images(), out=tmp_path / "parts", **options)
    for event in events:
        if isinstance(event, StepDone) and event.step == 12:
            break
    events.close()
    assert load_checkpoint(RunFolder(tmp_path / "parts").last).state["step"] < 12
    list(nv.train(conv_net(seed=5), images(), out=tmp_path / "parts", resume=True, **options))
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import nnvis as nv
from tests.nnvis.small import conv_net, images
from tests.nnvis.runs.test_resume import OPTIONS
from nnvis.events import StepDone
options = OPTIONS | dict(epochs=40, checkpoint_every=3)
for event in nv.train(conv_net("cpu"), images(), out=sys.argv[1], resume=True, **options):
    if isinstance(event, StepDone):
        print(event.step, flush=True)
"""


def test_a_process_killed_at_random_steps_and_resumed_ends_with_the_same_bits(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[3])))
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True, timeout=600)
    for kill in range(3):
        process = subprocess.Popen([*command, str(tmp_path / "parts")], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        wait_for = 30 * kill + random.randint(3, 40)
        for line in process.stdout:
            if int(line) >= wait_for:
                time.sleep(random.random() / 100)
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=60)
        process.stdout.close()
    subprocess.run([*command, str(tmp_path / "parts")], check=True, capture_output=True, timeout=600)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert not list((tmp_path / "parts").rglob(".*"))


def test_a_finished_run_has_nothing_left_to_do_and_can_be_trained_for_more_epochs(tmp_path):
    nv.fit(mlp(), moons(), epochs=2, out=tmp_path)
    again = list(nv.resume(tmp_path, data=moons()).run())
    assert [type(event) for event in again] == [Started, Finished] and again[-1].metrics["test_loss"] > 0
    more = list(nv.resume(tmp_path, epochs=3, data=moons()).run())
    assert sum(isinstance(event, EpochDone) for event in more) == 1
    assert RunFolder(tmp_path).options().epochs == 3
    kinds = [line["kind"] for line in read_metrics(tmp_path / "metrics.jsonl") if line["kind"] != "step"]
    assert kinds == ["epoch", "epoch", "epoch", "final"]


def test_early_stopping_remembers_how_long_it_has_waited(tmp_path):
    options = {"epochs": 20, "optimizer": nv.SGD(lr=1e-12), "early_stopping": EarlyStopping(4, "loss", 1.0)}
    events = nv.train(mlp(), moons(), out=tmp_path, **options)
    for event in events:
        if isinstance(event, EpochDone) and event.epoch == 3:
            break
    events.close()
    training = nv.resume(tmp_path, data=moons())
    assert sum(isinstance(event, EpochDone) for event in training.run()) == 2
    assert training.state.ended == "early_stopping"
    again = list(nv.resume(tmp_path, data=moons()).run())
    assert not any(isinstance(event, StepDone) for event in again)


def test_a_stopped_run_keeps_the_network_seed_so_that_dropout_masks_go_on(tmp_path):
    stop_after(tmp_path, 4)
    training = nv.resume(tmp_path, data=images())
    assert training.net.training_passes == 4 and training.state.seed == training.net.seed


def test_a_run_of_a_named_data_set_needs_nothing_but_its_folder(tmp_path):
    stop = iter([False] * 5 + [True] * 100).__next__
    list(nv.train(mlp(), "moons", epochs=2, out=tmp_path, stop=stop))
    run = nv.resume(tmp_path)
    assert math.isfinite(list(run.run())[-1].metrics["test_loss"])


def test_what_cannot_be_resumed_is_one_sentence(tmp_path):
    stop_after(tmp_path / "run", 4)
    torn = RunFolder(tmp_path / "torn")
    stop_after(torn.path, 9)
    torn.last.write_bytes(torn.last.read_bytes()[:-20])
    cases = [
        (CheckpointError, "another graph", lambda: nv.train(
            conv_net(classes=4), images(), out=tmp_path / "run", resume=True)),
        (CheckpointError, "other data", lambda: nv.resume(tmp_path / "run", data=images(80))),
        (ConfigError, "arrays", lambda: nv.resume(tmp_path / "run")),
        (CheckpointError, "no run", lambda: nv.resume(tmp_path / "none")),
        (CheckpointError, "best.safetensors", lambda: nv.resume(torn.path, data=images())),
        (ConfigError, "batch_size", lambda: nv.train(
            conv_net(), images(), out=tmp_path / "run", resume=True, **OPTIONS | {"batch_size": 4})),
        (CheckpointError, "optimiser", lambda: nv.train(
            conv_net(), images(), out=tmp_path / "run", resume=True, **OPTIONS | {"optimizer": nv.SGD()})),
    ]  # fmt: skip
    for error, says, call in cases:
        with pytest.raises(error, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
