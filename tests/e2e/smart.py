"""What the tests of the smart responder share: configurations, and how to read its corpus."""

from __future__ import annotations

import re

import scene  # noqa: F401 (finds the lab)
from mxmirage import Mxmirage

GOOGLE, MICROSOFT, DEFAULT = "google", "office365", "default"
WORKSPACE, TENANT = "example.com", "example.org"  # hosted by Google and by Microsoft

_NO_LIMITS = """\
connection_limit = 0
provider_connection_limit = 0
max_deliveries_per_connection = 0
"""


def profile(name: str, defer: float = 0, bounce: float = 0, more: str = _NO_LIMITS) -> str:
    """TOML that gives a provider these odds, and by default no limits."""
    return f'[provider."{name}"]\ndefer = {defer}\nbounce = {bounce}\n{more}'


def calm(*names: str) -> str:
    """TOML under which these providers accept everything."""
    return "".join(profile(name) for name in names)


class Corpus:
    """The replies in force for an address's provider, as explain tells them."""

    def __init__(self, mxmirage: Mxmirage, address: str) -> None:
        self.explained = mxmirage.json("explain", address)
        self._patterns = [(r["kind"], _pattern(r)) for r in self.explained["replies"]]

    def kinds(self, code: int, text: str) -> set[str]:
        """The kinds of the replies that a reply as a client sees it can be."""
        return {kind for kind, pattern in self._patterns if pattern.fullmatch(f"{code} {text}")}


def _pattern(reply: dict) -> re.Pattern:
    """Postfix shows a reply of several lines as one, with code and enhanced code at each; smtplib without the code."""
    enhanced = f"{re.escape(reply['enhanced'])} " if reply["enhanced"] else ""
    lines = []
    for line in reply["text"].split("\n"):
        plain = re.sub(r"\{[a-z]+\}", "\0", line).replace("{{", "{").replace("}}", "}")
        lines.append(enhanced + r"\S*".join(map(re.escape, plain.split("\0"))))
    return re.compile(f"{reply['code']} " + rf"(?:\n| {reply['code']}[ -])".join(lines))
