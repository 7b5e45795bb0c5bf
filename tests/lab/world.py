"""The whole scene, set up in the order that makes a run worth something: lab, name server, oracle and
its canary, then mxmirage, the server on the LAN, and Postfix where it is asked for."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from lab import LAN, Lab, wait_until
from mxmirage import Mxmirage
from nameserver import start_nameserver
from oracle import Oracle
from postfix import Postfix


class World:
    """Context manager. mode and more are for Mxmirage.configure(), processes are the responder's."""

    def __init__(self, binary: Path | None = None, with_postfix: bool = True, mode: str = "sink",
                 more: str = "", processes: int = 1) -> None:
        self._binary = binary
        self._mode = mode
        self._more = more
        self._processes = processes
        self._with_postfix = with_postfix
        self._stack = ExitStack()

    def __enter__(self) -> World:
        with ExitStack() as stack:
            self.lab = stack.enter_context(Lab())
            self.nameserver = start_nameserver(self.lab)
            self.oracle = Oracle(self.lab)
            self.oracle.canary()
            self.mxmirage = Mxmirage(self.lab, self._binary, self._mode, self._more, self._processes)
            self.mxmirage.start()
            stack.callback(self.mxmirage.stop)
            self._spool = self.lab.directory / "lan"
            self._start_lan_server()
            if self._with_postfix:
                self.postfix = Postfix(self.lab)
                self.postfix.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_lan_server(self) -> None:
        self._spool.mkdir()
        self.lab.start_python(LAN, "lan_server.py", self._spool)
        wait_until(self._lan_server_listens, 60, "the LAN's SMTP server to listen")

    def _lan_server_listens(self) -> bool:
        return ":25" in self.lab.run(LAN, "ss", "-Hltn", "sport = 25").stdout

    def lan_mail(self) -> list[dict]:
        """What the LAN's server has taken so far: {peer, server, from, to, data} each."""
        return [json.loads(path.read_text()) for path in sorted(self._spool.glob("[0-9]*.json"))]
