"""The compiled loops: each module in `LOOPS` is Python that also runs uncompiled; the `.pxd` beside it has its C types.

Without a C compiler the build goes on, and the loops run as Python: slower, with the same bytes.

SURP_FL_CHECK_BOUNDS=1 compiles them with every index checked, for the fuzzers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LOOPS = [
    "surp_fl.entropy.range_coder",
    "surp_fl.entropy.integers",
    "surp_fl.entropy.adaptive_integer",
    "surp_fl.entropy.changed_values",
    "surp_fl.entropy.signed_levels",
    "surp_fl.entropy.minifloat",
    "surp_fl.entropy.bit_fields",
    "surp_fl.vector_scans",
    "surp_fl.codecs.surp.beta_binomial",
    "surp_fl.codecs.surp.coded_set",
    "surp_fl.codecs.surp.layers",
    "surp_fl.codecs.surp.layer_weights",
    "surp_fl.codecs.surp.coded_state",
    "surp_fl.codecs.surp.cell_ranges",
    "surp_fl.codecs.surp.index_tree",
    "surp_fl.codecs.surp.index_set",
    "surp_fl.codecs.surp.rank_one",
    "surp_fl.codecs.surp.rank_one_signs",
    "surp_fl.codecs.surp.groups",
    "surp_fl.codecs.surp.rate_model",
    "surp_fl.codecs.surp.magnitude_groups",
    "surp_fl.codecs.surp.balanced_rows",
    "surp_fl.codecs.surp.trellis.transitions",
    "surp_fl.codecs.surp.trellis.magnitude_context",
    "surp_fl.codecs.surp.trellis.level_models",
    "surp_fl.codecs.surp.trellis.sign_odds",
    "surp_fl.codecs.surp.trellis.level_coder",
    "surp_fl.codecs.surp.trellis.search",
    "surp_fl.codecs.surp.trellis.factor_loops",
    "surp_fl.codecs.surp_unbiased.scale_factors",
    "surp_fl.codecs.surp_unbiased.spreading",
    "surp_fl.codecs.surp_paper._candidates",
    "surp_fl.codecs.surp_paper._scans",
    "surp_fl.codecs.surp_paper._record",
    "surp_fl.codecs.surp_paper._side",
    "surp_fl.codecs.surp_paper._loops",
    "surp_fl.codecs.surp_laplacian._estimates",
    "surp_fl.codecs.surp_laplacian._loops",
]
SHARED = "surp_fl._cython"  # what Cython needs in every module, once
CHECK_BOUNDS = os.environ.get("SURP_FL_CHECK_BOUNDS") == "1"
BUILD = Path("build/cython-checked" if CHECK_BOUNDS else "build/cython")
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # the types are in the .pxd files
    "infer_types": True,
    "boundscheck": CHECK_BOUNDS,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,  # // truncates: no loop divides a negative number
}
# Rounding must not depend on the machine: no fused multiply-add.
FLAGS = [] if sys.platform == "win32" else ["-O3", "-g0", "-ffp-contract=off"]
LINK = ["-s"] if sys.platform == "linux" else []


def extension(name: str, source: str) -> Extension:
    """A compiled module."""
    return Extension(name, [source], extra_compile_args=FLAGS, extra_link_args=LINK)


class BuildAllOrNone(build_ext):
    """Where one module cannot be compiled, none is: compiled modules need each other."""

    def build_extensions(self) -> None:
        """Compile the loops, or leave them as Python."""
        try:
            super().build_extensions()
        except Exception as fault:  # whatever a compiler, or its absence, raises
            print(f"surp-fl: the loops are not compiled, and will run in Python, slower: {fault}", file=sys.stderr)
            for each in self.extensions:
                Path(self.get_ext_fullpath(each.name)).unlink(missing_ok=True)
            self.extensions = []


def shared_source() -> str:
    """The C source of the shared module, written once for each version of Cython."""
    source = BUILD / Cython.__version__ / "_cython.c"
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "cython", f"--generate-shared={source}"], check=True)
    return str(source)


def description() -> str:
    """The README, its relative links replaced by the names of files: on a package index they would lead nowhere."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)([^)#]*)(#[^)]*)?\)", r"\1 (`\2`)", text)


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=[
        extension(SHARED, shared_source()),
        *cythonize(
            [extension(name, name.replace(".", "/") + ".py") for name in LOOPS],
            shared_utility_qualified_name=SHARED,
            build_dir=str(BUILD),
            compiler_directives=DIRECTIVES,
            quiet=True,
        ),
    ],
    cmdclass={"build_ext": BuildAllOrNone},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
