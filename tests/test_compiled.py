"""The loops run compiled and as Python, give the same bytes, need no compiler to be installed, and write nothing."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl import Layout, _compiled
from surp_fl.codecs import SCHEMES
from surp_fl.entropy import range_coder
from tests.vectors import AWKWARD

ROOT = Path(__file__).parents[1]
LOOPS = sorted(str(file.relative_to(ROOT).with_suffix("")).replace("/", ".") for file in ROOT.rglob("surp_fl/**/*.pxd"))
needs_compiled = pytest.mark.skipif(not _compiled.is_compiled(range_coder), reason="the loops are not compiled here")

WATCHED = """
import os, sys
written = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.append(str(arguments[0]))

sys.addaudithook(watch)
import numpy as np
from surp_fl import Layout, SuRP
vector = np.random.default_rng(0).laplace(size=5000).astype(np.float32)
layout, codec = Layout.of({"w": vector.reshape(50, 100)}), SuRP(budget=218).codec
codec.decode(codec.encode(vector, layout, rng=np.random.default_rng(0), reference=vector), layout, reference=vector)
print(written)
"""


def digests() -> dict[str, str]:
    """Of the messages of every scheme for awkward vectors, with and without a reference, and of what they decode to."""
    found = {}
    rng = np.random.default_rng(0)
    for name, vector in AWKWARD.items():
        if vector.size < 100:
            continue
        whole = vector.size // 10 * 10
        layout = Layout.of({"w": vector[:whole].reshape(10, -1), "b": vector[whole:]})
        model = rng.standard_t(3, size=vector.size).astype(np.float32)
        before = model.copy()
        before[::37] += 1
        for row in SCHEMES.values():
            for label, scheme in row.examples.items():
                for reference in (None, model, (model, before)) if row.reader.contextual else (None,):
                    codec = scheme.codec
                    message = codec.encode(vector, layout, rng=np.random.default_rng(1), reference=reference)
                    decoded = codec.decode(message, layout, reference=reference)
                    digest = hashlib.sha256(message + decoded.tobytes()).hexdigest()
                    found[f"{name}, {label}, {0 if reference is None else len(reference)}"] = digest
    return found


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | environment, timeout=500
    )


@needs_compiled
@pytest.mark.slow
def test_compiled_and_uncompiled_loops_give_the_same_bytes() -> None:
    code = "import json; from tests.test_compiled import digests; print(json.dumps(digests()))"
    done = run(code, SURP_FL_PURE_PYTHON="1")
    assert done.returncode == 0, done.stderr
    uncompiled = json.loads(done.stdout)
    compiled = digests()
    assert len(compiled) > 100
    assert {name for name, digest in compiled.items() if uncompiled[name] != digest} == set()


@needs_compiled
@pytest.mark.parametrize("name", LOOPS)
def test_a_compiled_module_is_not_older_than_its_source(name: str) -> None:
    """Else it is not the code that is read here: run `make setup`."""
    found = importlib.import_module(name).__file__
    assert found is not None
    assert not found.endswith(".py")
    source = ROOT / name.replace(".", "/")
    if Path(found).is_relative_to(ROOT):
        newest = max(source.with_suffix(suffix).stat().st_mtime for suffix in (".py", ".pxd"))
        assert Path(found).stat().st_mtime >= newest


def test_every_module_with_c_types_is_compiled_by_the_build() -> None:
    listed = (ROOT / "setup.py").read_text().split("LOOPS = [")[1].split("]")[0]
    assert sorted(line.strip(' ",') for line in listed.strip().splitlines()) == LOOPS


def test_uncompiled_loops_warn_once_and_work(tmp_path: Path) -> None:
    """As where there is no compiler: the same package without its compiled modules."""
    for file in (ROOT / "surp_fl").rglob("*.py"):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WATCHED}"
    done = run(code, PYTHONDONTWRITEBYTECODE="1", HOME="/none")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("runs them in Python") == 1
    assert "install a C compiler" in done.stderr


@needs_compiled
def test_a_first_message_writes_nothing_and_needs_no_home() -> None:
    done = run(WATCHED, PYTHONDONTWRITEBYTECODE="1", HOME="/none", XDG_CACHE_HOME="/none")
    assert done.stdout.strip() == "[]", done.stderr
    assert done.stderr == ""
