"""Tests of the experiments; skipped where what `pip install ".[simulation]"` installs is missing."""

from __future__ import annotations

import pytest

for needed in ("torch", "torchvision", "sklearn", "matplotlib", "tqdm", "zstandard", "ray"):
    pytest.importorskip(needed, reason=f"the experiments need {needed}")
