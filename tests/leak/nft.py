"""nft without a process for each command: libnftables, in a namespace of the lab. A foreign program that
works on the rules a hundred times a second is this; so is the reader of the oracle's counters."""

from __future__ import annotations

import ctypes
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lab import Lab, LabError

_COUNTS = re.compile(r"packets \d+ bytes \d+")  # of named counters, which "stateless" leaves in

_STATELESS, _HANDLE, _JSON = 1 << 1, 1 << 3, 1 << 4

_LIBRARY = ctypes.CDLL("libnftables.so.1")
_LIBRARY.nft_ctx_new.restype = ctypes.c_void_p
_LIBRARY.nft_ctx_get_output_buffer.restype = _LIBRARY.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
for _name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer", "nft_ctx_buffer_output",
              "nft_ctx_buffer_error", "nft_ctx_free"):
    getattr(_LIBRARY, _name).argtypes = [ctypes.c_void_p]
_LIBRARY.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
_LIBRARY.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_ONE_AT_A_TIME = threading.Lock()  # its parser has globals


@contextmanager
def _silent() -> Iterator[None]:
    """What prints an xt target of a table "inet" complains about the family on standard error, each time."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Nft:
    def __init__(self, lab: Lab, space: str) -> None:
        self._lab, self._space = lab, space
        with lab.inside(space):  # its netlink socket is opened now
            self._context = _LIBRARY.nft_ctx_new(0)
        _LIBRARY.nft_ctx_buffer_output(self._context)
        _LIBRARY.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        if self._context:
            _LIBRARY.nft_ctx_free(self._context)
        self._context = None

    def attempt(self, command: str, flags: int = 0) -> tuple[bool, str]:
        """Whether it was done, and what nft said."""
        with _ONE_AT_A_TIME, _silent(), self._lab.inside(self._space):
            _LIBRARY.nft_ctx_output_set_flags(self._context, flags)
            failed = _LIBRARY.nft_run_cmd_from_buffer(self._context, command.encode())
            said = (_LIBRARY.nft_ctx_get_error_buffer if failed else _LIBRARY.nft_ctx_get_output_buffer)(self._context)
        return not failed, (said or b"").decode()

    def __call__(self, command: str, flags: int = 0) -> str:
        """What nft printed; LabError when it refused."""
        done, said = self.attempt(command, flags)
        if not done:
            raise LabError(f"nft: {said.strip()[:300]}")
        return said

    def json(self, command: str) -> list[dict]:
        return json.loads(self(command, _JSON))["nftables"]

    def rules(self, family_table: str) -> str:
        """A table without its counts; empty when there is none."""
        done, said = self.attempt(f"list table {family_table}", _STATELESS)
        return _COUNTS.sub("", said) if done else ""

    def all_rules(self) -> dict[str, str]:
        """Every table without its counts, by family and name."""
        listing = _COUNTS.sub("", self("list ruleset", _STATELESS))
        tables = [text for text in re.split(r"^(?=table )", listing, flags=re.MULTILINE) if text]
        return {" ".join(text.split(maxsplit=3)[1:3]): text for text in tables}

    def handle(self, family: str, table: str) -> int | None:
        """What a table can be deleted by."""
        for entry in self.json("list tables"):
            found = entry.get("table", {})
            if (found.get("family"), found.get("name")) == (family, table):
                return found["handle"]
        return None
