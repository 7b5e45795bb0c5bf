"""A private Postfix in `host`, as Debian packages it: own configuration, queue and log, /etc/postfix untouched.

It delivers by MX lookup over both protocols and takes mail on 127.0.0.1, ports 25 and 2025, of its namespace. The
sender's domain chooses the source address, as MTAs with several egress addresses do.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab import HOST, SOURCES_V4, SOURCES_V6, Lab, wait_until

SENDER_DOMAINS = ("one.qa.example", "two.qa.example", "three.qa.example")

_MAIN_CF = """\
compatibility_level = 3.7
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file_prefixes = {directory}
maillog_file = {directory}/mail.log
myhostname = mta.qa.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8 [::1]/128
inet_interfaces = 127.0.0.1, ::1
inet_protocols = all
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_address_preference = any
smtp_host_lookup = dns
sender_dependent_default_transport_maps = inline:{{ {egress} }}
default_process_limit = 60
initial_destination_concurrency = 10
default_destination_concurrency_limit = 20
default_destination_concurrency_failed_cohort_limit = 1000
smtpd_client_connection_count_limit = 0
smtp_connect_timeout = 5s
smtp_helo_timeout = 5s
smtp_mail_timeout = 5s
smtp_rcpt_timeout = 5s
smtp_data_init_timeout = 5s
smtp_data_xfer_timeout = 5s
smtp_data_done_timeout = 5s
in_flow_delay = 0s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_maps = inline:{{ {discard} }}
notify_classes =
"""

_MASTER_CF = """\
127.0.0.1:smtp inet n - n - - smtpd
127.0.0.1:2025 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
showq unix n - n - - showq
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_EGRESS = """\
egress{n} unix - - n - - smtp
  -o smtp_bind_address={v4}
  -o smtp_bind_address6={v6}
"""

_DELIVERY = re.compile(
    r"postfix/(?:smtp|error)\[\d+\]: (?P<queue_id>\w+): to=<(?P<recipient>[^>]*)>, "
    r"relay=(?P<relay>[^,]*), (?:conn_use=(?P<use>\d+), )?delay=[^,]*, delays=[^,]*, "
    r"dsn=(?P<dsn>[\d.]+), status=(?P<status>\w+) \((?P<text>.*)\)$")
_RELAY = re.compile(r"(?P<host>[^\[]*)\[(?P<address>[^\]]*)\]:\d+$")
# The sender's own admission that the server may have taken a message which will be sent again.
_IN_DOUBT = re.compile(
    r"postfix/smtp\[\d+\]: (?P<queue_id>\w+): .*while sending (?:message body|end of data)")
_REPLY = re.compile(r"host (?P<host>\S+)\[(?P<address>[^\]]*)\] said: (?P<reply>[45]\d\d.*) \(in reply to")


@dataclass(frozen=True)
class Delivery:
    """One line of the log: the result of one try for one recipient."""

    queue_id: str
    recipient: str
    relay: str  # host name, "none" without one
    address: str  # "" without a relay
    reused: bool  # over a connection that had carried a message before
    dsn: str
    status: str  # sent, deferred, bounced
    text: str

    @property
    def domain(self) -> str:
        return self.recipient.rpartition("@")[2]


def inject(lab: Lab, space: str, address: str, port: int, messages: list[dict], connections: int = 1) -> None:
    """Sends messages {from, to: [...], text} from a namespace straight to an address. LabError when it
    cannot be reached or refuses any."""
    lab.run(space, sys.executable, Path(__file__).with_name("inject.py"), address, str(port), str(connections),
            stdin="".join(json.dumps(m) + "\n" for m in messages), timeout=300)


class MailLog:
    """Postfix's log from some moment on."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.deliveries = [d for d in map(_parse, self.lines) if d]

    def with_status(self, status: str) -> list[Delivery]:
        return [d for d in self.deliveries if d.status == status]

    def broken_sessions(self) -> int:
        """How often the server went away in the middle of a session."""
        return sum("lost connection with" in line for line in self.lines)

    def in_doubt(self) -> Counter[str]:
        """Queue id -> how often a session broke off when the whole message may have arrived."""
        return Counter(m["queue_id"] for m in map(_IN_DOUBT.search, self.lines) if m)

    def refusals(self) -> list[str]:
        """Every 4xx and 5xx reply, those that made Postfix try the next MX included."""
        return [m["reply"] for m in map(_REPLY.search, self.lines) if m]


def _parse(line: str) -> Delivery | None:
    match = _DELIVERY.search(line)
    if not match:
        return None
    relay = _RELAY.match(match["relay"])
    return Delivery(
        match["queue_id"], match["recipient"], relay["host"] if relay else match["relay"],
        relay["address"] if relay else "", int(match["use"] or 1) > 1, match["dsn"], match["status"],
        match["text"])


class Postfix:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.directory = lab.directory / "postfix"
        self.log_file = self.directory / "mail.log"

    def start(self) -> None:
        self.directory.mkdir()
        (self.directory / "queue").mkdir()
        data = self.directory / "data"
        data.mkdir()
        data.chmod(0o700)
        shutil.chown(data, "postfix")
        egress = ", ".join(f"{{@{d} = egress{n}:}}" for n, d in enumerate(SENDER_DOMAINS))
        discard = ", ".join(f"{{{d} = discard:}}" for d in SENDER_DOMAINS)  # where bounces end
        (self.directory / "main.cf").write_text(
            _MAIN_CF.format(directory=self.directory, egress=egress, discard=discard))
        (self.directory / "master.cf").write_text(_MASTER_CF + "".join(
            _EGRESS.format(n=n, v4=v4, v6=v6) for n, (v4, v6) in enumerate(zip(SOURCES_V4, SOURCES_V6))))
        self._lab.start(HOST, "postfix", "-c", self.directory, "start-fg", log=self.directory / "stderr")
        wait_until(self._answers, 60, f"Postfix to take mail on 127.0.0.1:25; see {self.log_file}")

    def _answers(self) -> bool:
        return self._lab.run(HOST, "postqueue", "-c", self.directory, "-p", check=False).returncode == 0 \
            and "daemon started" in self._log_text()

    def inject(self, messages: list[dict], connections: int = 4) -> None:
        """Hands messages {from, to: [...], text} to 127.0.0.1:25. Returns when all are queued."""
        inject(self._lab, HOST, "127.0.0.1", 25, messages, connections)

    def flush(self) -> None:
        self._lab.run(HOST, "postqueue", "-c", self.directory, "-f")

    def drop_queue(self) -> None:
        self._lab.run(HOST, "postsuper", "-c", self.directory, "-d", "ALL", check=False)

    def listing(self) -> str:
        """The queue as its administrator sees it."""
        return self._lab.run(HOST, "postqueue", "-c", self.directory, "-p").stdout

    def queue_length(self) -> int:
        listing = self._lab.run(HOST, "postqueue", "-c", self.directory, "-j").stdout
        return len(listing.splitlines())

    def wait_delivered(self, seconds: float) -> None:
        wait_until(lambda: self.queue_length() == 0, seconds, f"an empty queue; see {self.log_file}")

    def mark(self) -> int:
        """The log's present end, for log_since()."""
        return len(self._log_text())

    def log_since(self, mark: int = 0) -> MailLog:
        return MailLog(self._log_text()[mark:])

    def _log_text(self) -> str:
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

