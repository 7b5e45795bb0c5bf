"""Servers of the campaign, in its own process: each greets with the name of its namespace and keeps the
connection until the client goes. They are what must be reached, and the peer that answers where it should not be."""

from __future__ import annotations

import selectors
import socket
import threading

from lab import Lab

_BACKLOG = 4096
_PATIENCE_S = 10


class Servers:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._selector = selectors.DefaultSelector()
        self._wake, wake = socket.socketpair()
        self._selector.register(wake, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._todo: list[tuple[str, socket.socket]] = []
        self._gone: list[tuple[list[socket.socket], threading.Event]] = []
        self._stop = False
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def listen(self, space: str, port: int) -> list[socket.socket]:
        """On all addresses, from now on; for drop()."""
        listeners = []
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            with self._lab.inside(space):
                listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            listeners.append(listener)
        with self._lock:
            self._todo += [(space, listener) for listener in listeners]
        self._wake.send(b"x")
        return listeners

    def drop(self, listeners: list[socket.socket]) -> None:
        """Listens there no more, and resets what it has accepted anywhere; returns when that is done."""
        obeyed = threading.Event()
        with self._lock:
            self._gone.append((listeners, obeyed))
        self._wake.send(b"x")
        obeyed.wait(_PATIENCE_S)

    def accepted(self) -> list[socket.socket]:
        """Connections that are open now."""
        return list(self._open)

    def close(self) -> None:
        self._stop = True
        self._wake.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._wake.close()

    def _serve(self) -> None:
        while not self._stop:
            for key, _ in self._selector.select():
                if key.data is None:
                    key.fileobj.recv(64)
                    self._obey()
                elif key.data:
                    self._accept(key.fileobj, key.data)
                else:
                    self._read(key.fileobj)

    def _obey(self) -> None:
        with self._lock:
            todo, self._todo = self._todo, []
            gone, self._gone = self._gone, []
        for space, listener in todo:
            self._selector.register(listener, selectors.EVENT_READ, space)
        for listener in (listener for listeners, _ in gone for listener in listeners):
            self._selector.unregister(listener)
            listener.close()
        for connection in list(self._open) if gone else ():
            self._end(connection)
        for _, obeyed in gone:
            obeyed.set()

    def _accept(self, listener: socket.socket, space: str) -> None:
        try:
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.setblocking(False)
                self._open.add(connection)
                self._selector.register(connection, selectors.EVENT_READ, "")
                connection.send(f"220 {space} is here\r\n".encode())
        except OSError:
            pass  # none is waiting any more, or it has gone already

    def _read(self, connection: socket.socket) -> None:
        try:
            if connection.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        if connection not in self._open:  # it was ended since the selector spoke of it
            return
        self._selector.unregister(connection)
        self._open.discard(connection)
        connection.close()
