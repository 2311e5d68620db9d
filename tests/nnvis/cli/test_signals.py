"""The first signal stops in good order, the second at once."""

from __future__ import annotations

import os
import signal

import pytest

from nnvis.cli.exits import Interrupted
from nnvis.cli.signals import StopOnSignal


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(signum, code):
    before = signal.getsignal(signum)
    with StopOnSignal() as stop:
        stop.training = True
        assert not stop()
        os.kill(os.getpid(), signum)
        assert stop() and stop.exit_code == code
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signum)
        assert caught.value.signum == signum
    assert signal.getsignal(signum) is before


def test_before_training_even_the_first_signal_ends_at_once():
    with StopOnSignal(), pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGINT)
