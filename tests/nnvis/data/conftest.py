from __future__ import annotations

import threading

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Every test has an empty cache, and finds no data of the machine's user."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NNVIS_CACHE", str(folder))
    monkeypatch.delenv("NNVIS_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True)
def no_leaked_threads():
    before = set(threading.enumerate())
    yield
    leaked = [t for t in threading.enumerate() if t not in before and t.name.startswith("nnvis")]
    assert not leaked, leaked
