"""Shared by all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# A landing must not depend on luck: there the examples are the same every time. Elsewhere each run looks at new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
