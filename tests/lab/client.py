"""An SMTP client of the lab's: smtplib over a socket that lives in a namespace, so that a test can hold a
session open, and many of them at once."""

from __future__ import annotations

import smtplib
from typing import NamedTuple

from lab import HOST, Lab

SENDER = "news@qa.example"


class Reply(NamedTuple):
    code: int
    text: str  # lines divided by "\n"


class Client(smtplib.SMTP):
    """Context manager, which says QUIT at its end. `banner` is what the server said first; a refusal there
    raises smtplib.SMTPConnectError."""

    def __init__(self, lab: Lab, address: str, source: str = "", timeout: float = 30) -> None:
        self._lab = lab
        self._from = source
        self.banner = Reply(0, "")
        super().__init__(address, 25, local_hostname="mta.qa.example", timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float):
        sock = self._lab.socket(HOST, host)
        sock.settimeout(timeout)
        if self._from:
            sock.bind((self._from, 0))
        sock.connect((host, port))
        return sock

    def connect(self, host: str = "localhost", port: int = 0, source_address=None) -> tuple[int, bytes]:
        code, text = super().connect(host, port, source_address)
        self.banner = Reply(code, text.decode())
        return code, text

    def say(self, *words: str) -> Reply:
        code, text = self.docmd(*words)
        return Reply(code, text.decode())

    def recipients(self, *addresses: str) -> list[Reply]:
        """What each is answered, in a transaction that is given up then."""
        self.ehlo_or_helo_if_needed()
        self.mail(SENDER)
        replies = [self.say(f"RCPT TO:<{address}>") for address in addresses]
        self.rset()
        return replies

    def deliver(self, recipient: str, sender: str = SENDER) -> Reply:
        """One message. The last reply: the refusal, or the acceptance at the end of data."""
        self.ehlo_or_helo_if_needed()
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = self.say(command)
            if reply.code >= 400:
                if reply.code != 421:
                    self.rset()
                return reply
        self.send(f"Subject: to {recipient}\r\n\r\nA line.\r\n.\r\n")
        code, text = self.getreply()
        return Reply(code, text.decode())


def deliver(lab: Lab, address: str, recipient: str, **options: object) -> Reply:
    """One message over a connection of its own, whatever comes of it."""
    try:
        with Client(lab, address, **options) as client:
            return client.deliver(recipient)
    except smtplib.SMTPConnectError as refusal:
        return Reply(refusal.smtp_code, refusal.smtp_error.decode())
