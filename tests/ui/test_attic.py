"""Layers keep what they learned through renaming, undo and redo; new layers start afresh."""

from __future__ import annotations

import numpy as np

import nnvis as nv
from ui.session.attic import Attic


def _net(width=4, seed=0):
    g = nv.Graph((3,))
    g.output = g.add(nv.Linear(2), g.add(nv.Linear(width), g.input, name="a"), name="b")
    return nv.Network(g, seed=seed)


def _filled(attic, net, births):
    attic.fill(net, births)
    return net.state_dict()


def test_a_layer_that_comes_back_has_its_weights_and_another_of_the_same_name_has_not():
    attic, learned = Attic(), _net()
    attic.put(learned, {"a": 1, "b": 2})
    found = _filled(attic, _net(seed=5), {"a": 1, "b": 3})
    assert np.array_equal(found["a.weight"], learned.state_dict()["a.weight"])
    assert not np.array_equal(found["b.weight"], learned.state_dict()["b.weight"])


def test_a_renamed_layer_keeps_its_weights():
    attic, learned = Attic(), _net()
    attic.put(learned, {"a": 1, "b": 2})
    g = nv.Graph((3,))
    g.output = g.add(nv.Linear(2), g.add(nv.Linear(4), g.input, name="first"), name="b")
    found = _filled(attic, nv.Network(g, seed=5), {"first": 1, "b": 2})
    assert np.array_equal(found["first.weight"], learned.state_dict()["a.weight"])


def test_another_width_starts_afresh_and_the_old_one_gets_its_weights_back():
    attic, learned = Attic(), _net()
    births = {"a": 1, "b": 2}
    attic.put(learned, births)
    wider = _net(width=5)
    attic.fill(wider, births)
    attic.put(wider, births)
    assert np.array_equal(_filled(attic, _net(seed=5), births)["a.weight"], learned.state_dict()["a.weight"])


def test_the_oldest_arrays_go_when_there_is_no_more_room():
    attic = Attic(limit=4 * (3 * 4 + 4 + 4 * 2 + 2))
    attic.put(_net(), {"a": 1, "b": 2})
    attic.put(_net(seed=1), {"a": 3, "b": 4})
    old, new = _filled(attic, _net(seed=7), {"a": 1}), _filled(attic, _net(seed=7), {"a": 3})
    assert np.array_equal(old["a.weight"], _net(seed=7).state_dict()["a.weight"])
    assert np.array_equal(new["a.weight"], _net(seed=1).state_dict()["a.weight"])
