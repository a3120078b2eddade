"""numba's `njit`, with a cache of compiled loops that goes by the sources of all codecs, and never fails.

numba's own cache goes by the file of a function alone: when what that function calls changes in another file, the old
machine code runs on. And where it finds no folder to write to, it raises at the first decorator. Here a folder is named
by a digest of all sources in which loops lie or could be called: the codecs, entropy coding and what is beside this
file. Without a folder that can be written to, loops are compiled anew in each process. Knows numba. Does not know what
is compiled.

A cache is code: a folder is only used if nobody else could have put anything there.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])
log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name
_KEPT = 3  # folders of other sources, versions of Python or numba


def njit(cache: bool = False, **options: Any) -> Callable[[Loop], Loop]:
    """`numba.njit`, to be called with options; `cache` keeps the machine code for other processes where it can."""
    compiled = numba.njit(**options)

    def wrapper(function: Loop) -> Loop:
        dispatcher: Any = compiled(function)
        # of a function that was made by another, the source does not tell all
        if cache and DIGEST and "<locals>" not in function.__qualname__ and hasattr(dispatcher, "_cache"):
            dispatcher._cache = Stored(function)
        return dispatcher  # type: ignore[no-any-return]

    return wrapper


class Stored:
    """What a numba dispatcher asks before it compiles, and is given what it compiled: a file for each signature.

    Whatever fails, in numba's private names or on the disk, is as if nothing were stored.

    Args:
        function: that is compiled.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}-{function.__code__.co_firstlineno}"

    @property
    def cache_path(self) -> str | None:
        """The folder."""
        found = folder()
        return None if found is None else str(found)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was stored for these types of arguments; None for nothing."""
        try:
            if (where := folder()) is None:
                return None
            from numba.core import compiler

            target_context.refresh()
            key = self._key(sig, target_context.codegen())
            try:
                stored = (where / _file_of(key)).read_bytes()
            except FileNotFoundError:
                return None
            check, whole = stored[:4], stored[4:]
            if zlib.crc32(whole).to_bytes(4, "big") != check:
                raise ValueError("it was cut or damaged")
            kept, compiled = pickle.loads(whole)
            rebuild: Any = compiler.CompileResult._rebuild
            return rebuild(target_context, *compiled) if kept == key else None
        except Exception as fault:
            log.debug("surp-fl: %s is compiled anew: %r", self._name, fault)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store what was compiled for these types of arguments."""
        try:
            if (where := folder()) is None:
                return
            from numba.core import serialize

            if data.library.has_dynamic_globals or not all(each.can_cache for each in data.lifted):
                return
            key = self._key(sig, data.codegen)
            dumps: Any = serialize.dumps
            whole = dumps((key, data._reduce()))
            _write(where / _file_of(key), zlib.crc32(whole).to_bytes(4, "big") + whole)
        except Exception as fault:
            log.debug("surp-fl: %s is not stored: %r", self._name, fault)

    def flush(self) -> None:
        """Forget what is stored of this function."""
        if (where := folder()) is not None:
            for file in where.glob(f"{self._name}.*"):
                file.unlink(missing_ok=True)

    def enable(self) -> None:
        """Nothing: a cache that is not wanted is not made."""

    def disable(self) -> None:
        """Nothing: a cache that is not wanted is not made."""

    def _key(self, sig: Any, codegen: Any) -> tuple[str, str, str]:
        return self._name, repr(sig), repr(codegen.magic_tuple())  # the last: target, processor and its features


def _file_of(key: tuple[str, str, str]) -> str:
    return f"{key[0]}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"


def _write(file: Path, content: bytes) -> None:
    """All of it or nothing, whoever else writes the same file."""
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest() -> str:
    """Of what machine code depends on beside the processor; empty where the sources cannot be read."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    try:
        sources = sorted(
            [*PACKAGE.glob("*.py"), *(PACKAGE / "codecs").rglob("*.py"), *(PACKAGE / "entropy").rglob("*.py")]
        )
        for source in sources:
            digest.update(hashlib.sha256(str(source.relative_to(PACKAGE)).encode()).digest())
            digest.update(hashlib.sha256(source.read_bytes()).digest())
    except OSError:
        return ""
    return digest.hexdigest()[:32] if sources else ""


DIGEST = _digest()  # at once: of the sources that this process runs, whatever they become


@functools.cache
def folder() -> Path | None:
    """Where compiled loops are kept: where NUMBA_CACHE_DIR says; else beside the sources, else in the user's cache."""
    for parent in _parents():
        try:
            if (made := _own_folder(parent)) is not None:
                return made
        except OSError as fault:
            log.debug("surp-fl: no compiled loops are kept in %s: %s", parent, fault)
    log.info(
        "surp-fl: there is no folder for compiled loops: set NUMBA_CACHE_DIR to one, or each process takes minutes"
    )
    return None


def _parents() -> list[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(chosen)]
    if sys.platform == "win32":
        of_user = os.environ.get("LOCALAPPDATA", "")
    else:
        of_user = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return [PACKAGE / "__pycache__", *([Path(of_user)] if Path(of_user).is_absolute() else [])]


def _own_folder(parent: Path) -> Path | None:
    """The folder of these sources in another, if this user alone can write to it; the oldest of others' are removed."""
    parent.mkdir(parents=True, exist_ok=True)
    if not _trusted(parent.stat(), shared=True):
        return None
    made = parent / f"{NAME}-{DIGEST}"
    if not (known := made.exists()):
        made.mkdir(mode=0o700, exist_ok=True)
    if not _trusted(made.lstat(), shared=False):
        return None
    tempfile.TemporaryFile(dir=made).close()
    if not known:
        others = [each for each in parent.glob(f"{NAME}-{'[0-9a-f]' * len(DIGEST)}") if each != made]
        for old in sorted(others, key=_age)[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    return made


def _age(file: Path) -> float:
    try:
        return -file.lstat().st_mtime
    except OSError:  # another process removed it
        return 0.0


def _trusted(found: os.stat_result, shared: bool) -> bool:
    """Whether nobody but this user can put files there; in a shared one, whether nobody can exchange another's."""
    if not stat.S_ISDIR(found.st_mode):
        return False
    if sys.platform == "win32":  # folders of a user are that user's; the mode says nothing
        return True
    if shared:
        return not found.st_mode & stat.S_IWOTH or bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
