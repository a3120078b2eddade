"""A TCP proxy on loopback that counts what goes through it, by HTTP request."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_CHUNK = 1 << 16


@dataclass
class Wire:
    """Bytes of HTTP messages, heads and bodies; TCP and IP headers are not in it.

    Attributes:
        up: client to server, by path of the request.
        down: server to client, by path of the request that it answers.
        requests: how many, by path.
    """

    up: Counter[str] = field(default_factory=Counter)
    down: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    def copy(self) -> Wire:
        """As it is now."""
        return Wire(Counter(self.up), Counter(self.down), Counter(self.requests))

    def __add__(self, other: Wire) -> Wire:
        return Wire(self.up + other.up, self.down + other.down, self.requests + other.requests)

    def __sub__(self, other: Wire) -> Wire:
        return Wire(self.up - other.up, self.down - other.down, self.requests - other.requests)


class CountingProxy:
    """Listens on a port of its own and passes all on to another; use it as a context manager.

    Requests on a connection come one after the other, as clients of HTTP/1.1 do it that wait for each answer.

    Args:
        port: to pass on to, on 127.0.0.1.

    Attributes:
        port: to connect to.
        wire: what went through so far.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.wire = Wire()

    def __enter__(self) -> CountingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        with self._lock:
            for each in self._open:
                each.close()

    def so_far(self) -> Wire:
        """What went through until now."""
        with self._lock:
            return self.wire.copy()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            _Connection(self, near, far).begin()

    def _count(self, path: str, up: int, down: int, begins: bool) -> None:
        with self._lock:
            self.wire.up[path] += up
            self.wire.down[path] += down
            self.wire.requests[path] += begins


class _Connection:
    """Both directions of one connection."""

    def __init__(self, proxy: CountingProxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._path = ""
        self._answered = True

    def begin(self) -> None:
        for source, sink, up in ((self._near, self._far, True), (self._far, self._near, False)):
            threading.Thread(target=self._pump, args=(source, sink, up), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        try:
            while data := source.recv(_CHUNK):
                begins = up and self._answered
                if begins:  # POST /path HTTP/1.1
                    self._path = data.split(b" ", 2)[1].split(b"?")[0].decode("ascii", "replace")
                self._answered = not up
                self._proxy._count(self._path, len(data) if up else 0, 0 if up else len(data), begins)
                sink.sendall(data)
        except OSError:  # one end went away
            pass
        finally:
            for each in (source, sink):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
