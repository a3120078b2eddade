"""What the loops use of the module `cython`, for where it is not installed and they run uncompiled."""

from __future__ import annotations

from contextlib import nullcontext

compiled = False
nogil = nullcontext()
