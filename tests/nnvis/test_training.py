"""Training: events, history, early stopping, stopping on request, reproducibility."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError, DataError, DivergedError, NnvisError, ShapeError
from nnvis.events import EpochDone, Finished, Started, StepDone, Stopped
from nnvis.options import EarlyStopping, TrainOptions
from tests.nnvis.small import conv_net, images, mlp, moons, same_state


def test_a_small_network_learns_and_the_history_has_one_entry_per_epoch():
    run = nv.fit(conv_net(), images(120), epochs=6, batch_size=16, optimizer=nv.Adam(lr=0.01))
    assert run.history["val_accuracy"][-1] > 0.9
    assert {len(values) for values in run.history.values()} == {6}
    assert set(run.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"}
    assert run.metrics["test_accuracy"] == run.history["val_accuracy"][-1]  # no validation split
    assert run.best["value"] == max(run.history["val_accuracy"])
    assert (run.predict(run.data.test.images).argmax(axis=1) == run.data.test.labels).mean() > 0.9
    assert run.evaluate()["accuracy"] == run.metrics["test_accuracy"]


def test_events_come_in_order_and_count_right():
    events = list(nv.train(mlp(), moons(60), epochs=2, batch_size=25, schedule="cosine", optimizer=nv.SGD(lr=0.2)))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Started", *["StepDone"] * 3, "EpochDone", *["StepDone"] * 3, "EpochDone", "Finished"]
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert [event.epoch for event in steps] == [1, 1, 1, 2, 2, 2]
    assert [event.examples for event in steps] == [25, 25, 10] * 2
    assert steps[0].lr == 0.2 and all(a.lr > b.lr for a, b in pairwise(steps))
    epoch = next(event for event in events if isinstance(event, EpochDone))
    mean = sum(event.loss * event.examples for event in steps[:3]) / 60
    assert epoch.metrics["loss"] == pytest.approx(mean) and epoch.improved


def test_a_validation_split_is_used_for_epochs_and_the_test_split_at_the_end():
    data = images(120).with_validation(0.25)
    events = list(nv.train(conv_net(), data, epochs=1))
    done, finished = events[-2], events[-1]
    assert isinstance(done, EpochDone) and isinstance(finished, Finished)
    assert finished.metrics["test_loss"] != done.metrics["val_loss"]


def test_evaluation_may_be_rarer_than_epochs_but_never_misses_the_last():
    run = nv.fit(mlp(), moons(), epochs=5, evaluate_every=2)
    assert np.isnan(run.history["val_loss"]).tolist() == [True, False, True, False, False]


def test_early_stopping_ends_after_its_patience():
    rule = EarlyStopping(patience=3, metric="val_loss")
    options = {"epochs": 50, "optimizer": nv.SGD(lr=1e-12), "early_stopping": EarlyStopping(3, "loss", 1.0)}
    events = list(nv.train(mlp(), moons(), **options))
    assert sum(isinstance(event, EpochDone) for event in events) == 4  # the first is the best
    stopped = next(event for event in events if isinstance(event, Stopped))
    assert stopped.reason == "early_stopping" and "3 epochs" in stopped.message
    assert isinstance(events[-1], Finished)
    assert rule.improves(0.5, 0.6, "val_loss") and not rule.improves(0.7, 0.6, "val_loss")
    assert EarlyStopping(1, "val_accuracy", 0.1).improves(0.75, 0.6, "val_accuracy")
    assert not EarlyStopping(1, "val_accuracy", 0.2).improves(0.75, 0.6, "val_accuracy")


def test_an_improving_run_is_not_stopped_early():
    run = nv.fit(mlp(), moons(), epochs=5, optimizer=nv.SGD(lr=0.1), early_stopping=EarlyStopping(1, "loss"))
    assert run.stopped == "" and len(run.history["loss"]) == 5


def test_a_request_to_stop_ends_after_the_current_step():
    stop = threading.Event()
    events = []
    for event in nv.train(mlp(), moons(), epochs=9, batch_size=10, stop=stop):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 8:
            stop.set()
    assert isinstance(events[-1], Stopped) and events[-1].reason == "interrupted"
    assert events[-1].step == 8 and events[-1].epoch == 1


def test_a_request_to_stop_is_heard_during_an_evaluation():
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 8  # six steps, then batches of the evaluation

    events = list(nv.train(mlp(), moons(60), batch_size=10, evaluation_batch_size=2, stop=stop))
    assert isinstance(events[-1], Stopped) and events[-1].step == 6
    assert not any(isinstance(event, EpochDone) for event in events)


def test_closing_the_generator_ends_the_loader_thread():
    before = threading.active_count()
    events = nv.train(conv_net(), images(), batch_size=4, epochs=5)
    while not isinstance(next(events), StepDone):
        pass
    events.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_the_same_run_gives_the_same_bits_and_another_seed_others(device):
    def state(seed: int) -> dict[str, np.ndarray]:
        run = nv.fit(conv_net(device), images(), epochs=2, batch_size=16, seed=seed, augmentation="crop1")
        return run.net.state_dict()

    assert same_state(state(0), state(0))
    assert not same_state(state(0), state(1))


def test_one_thread_and_two_threads_give_the_same_bits():
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    graph = nv.zoo.build("lenet5")
    random = np.random.default_rng(0)
    data = nv.data.from_arrays(
        random.integers(0, 256, size=(96, 28, 28, 1)).astype(np.uint8), random.integers(10, size=96), num_classes=10
    )
    states, known = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            net = nv.Network(graph, seed=3)
            nv.fit(net, data, epochs=2, batch_size=32, optimizer=nv.SGD(0.01, 0.9), clip_norm=1.0)
            states.append(net.state_dict())
    finally:
        numba.set_num_threads(known)
    assert same_state(*states)


def test_data_may_be_arrays_or_a_name_and_the_net_a_graph():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 2)), random.integers(2, size=50)
    graph = nv.Sequential([nv.Linear(2)], input_shape=(2,))
    for data in ((x, y), (x, y, x, y), "moons"):
        assert nv.fit(nv.Network(graph, device="reference"), data).metrics["test_loss"] > 0
    assert isinstance(nv.fit(graph, (x, y)).net, nv.Network)


def test_a_binary_head_and_a_regression_train_too():
    run = nv.fit(mlp(outputs=1), moons(200), epochs=12, loss="bce", batch_size=8, optimizer=nv.Adam(lr=0.02))
    assert run.metrics["test_accuracy"] > 0.85
    x = np.random.default_rng(0).normal(size=(80, 2))
    run = nv.fit(mlp(outputs=1), (x, x.sum(axis=1)), epochs=3, loss="mse")
    assert "val_accuracy" not in run.history and run.best["metric"] == "val_loss"


def test_divergence_is_raised_out_of_the_loop_with_its_step():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        nv.fit(mlp(outputs=1), (x, x[:, 0]), epochs=50, loss="mse", optimizer=nv.SGD(lr=1e200))
    assert caught.value.step >= 2


def test_what_cannot_work_is_refused_before_anything_starts(tmp_path):
    random = np.random.default_rng(0)
    cases = [
        (ShapeError, lambda: nv.train(mlp(), images(), out=tmp_path / "run")),
        (ShapeError, lambda: nv.train(conv_net(classes=2), images(), out=tmp_path / "run")),
        (DataError, lambda: nv.train(mlp(), moons(), loss="mse", out=tmp_path / "run")),
        (DataError, lambda: nv.train(mlp(), (random.normal(size=(9, 2)), random.normal(size=9)))),
        (DataError, lambda: nv.train(mlp(), 7)),
        (ConfigError, lambda: nv.train(mlp(), moons(), epochs=0)),
        (ConfigError, lambda: nv.train(mlp(), moons(), batch_size=0)),
        (ConfigError, lambda: nv.train(mlp(), moons(), batch_size=100, drop_last=True)),
        (ConfigError, lambda: nv.train(mlp(), moons(), checkpoint_every="soon")),
        (ConfigError, lambda: nv.train(mlp(), moons(), resume=True)),
        (ConfigError, lambda: nv.train(mlp(), moons(), augmentation="flip")),
        (NnvisError, lambda: nv.train(mlp(), moons(), schedule="cosin")),
        (TypeError, lambda: nv.fit(mlp(), moons(), learning_rate=1)),
    ]
    for error, call in cases:
        with pytest.raises(error) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_early_stopping_on_an_unknown_metric_says_which_there_are():
    with pytest.raises(ConfigError, match="accuracy"):
        nv.fit(mlp(), moons(), epochs=2, early_stopping=EarlyStopping(metric="f1"))


def test_options_round_trip():
    options = TrainOptions(
        3, 32, "adamw", "bce", "warmup:1+cosine", "crop4,flip", 7, 1.0, 0.5, EarlyStopping(3, "val_loss", 0.1), "10m"
    )
    assert TrainOptions.from_config(options.config()) == options
    assert TrainOptions.from_config(TrainOptions().config()) == TrainOptions()


def test_verbose_prints_a_plain_line_for_each_epoch(capsys):
    nv.fit(mlp(), moons(), epochs=2, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1/2: loss") and lines[2].startswith("test_loss")


def test_the_loader_is_started_only_after_compiling():
    assert isinstance(next(e for e in nv.train(conv_net("cpu"), images()) if not hasattr(e, "total")), Started)
