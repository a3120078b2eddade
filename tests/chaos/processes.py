"""Processes that are killed with all that they started, at the latest when this process ends, however it ends.

Linux alone. Does not know Flower.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class Running:
    """A process in a group of its own.

    Args:
        command: to run.
        env: its environment.
        log: file that its output is appended to.
    """

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_us,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the process and to what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill it without notice, with what it started."""
        self.signal(signal.SIGKILL)
        self._process.wait()


def listens(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _die_with_us() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
