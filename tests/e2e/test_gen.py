"""The traffic generator: traffic-gen's published command lines against real Postfix behind the divert, and
every way of sending straight into the divert; its counts are held against mxmirage's."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import signal
import subprocess
import time
import unittest
from pathlib import Path

import scene
import smart
import zones
from lab import HOST, SOURCES_V4, Lab, wait_until
from mxmirage import default_binary
from world import World

# As published, but for the program's name and the sink's.
EXAMPLE_1 = "--target 127.0.0.1:25 --concurrency 20000 --message-count 100000 --body-size 100000"
EXAMPLE_2 = """--target localhost:2025 --keep-going --concurrency 400 --body-size 60kb --duration 1500 \
    --domain-suffix 'testingdomain.tld' --domain aol.com:1.5 --domain bellsouth.net:0.2 \
    --domain comcast.net:0.5 --domain gmail.com:67.4 --domain hotmail.com:8.8 --domain icloud.com:1.2 \
    --domain live.com:0.3 --domain me.com:0.2 --domain msn.com:0.5 --domain orange.fr:0.4 \
    --domain outlook.com:1.2 --domain sbcglobal.net:0.3 --domain yahoo.com:5.9"""
COUNT = 600
SENT_WITHIN, DELIVERED_WITHIN = 150, 150  # seconds
# To a provider without a profile: nothing is refused but what a test injects.
LINE = shlex.join(["--target", f"{sorted(zones.domain_addresses('t-online.de'))[0]}:25", "--domain", "t-online.de",
                   "--domain-suffix", "", "--concurrency", "20"])
GMAIL = next(a for a in sorted(zones.domain_addresses("gmail.com")) if ":" not in a)


def gen(lab: Lab, line: str, *more: str, timeout: float = 60) -> subprocess.CompletedProcess:
    return lab.run(HOST, default_binary(), "gen", *shlex.split(line), *more, check=False, timeout=timeout)


def gen_json(lab: Lab, line: str, *more: str) -> dict:
    done = gen(lab, line, "--json", *more)
    return json.loads(done.stdout) | {"exit": done.returncode, "said": done.stderr}


class PostfixTest(unittest.TestCase):
    """Through an MTA: what it was given, it delivered, and mxmirage counted it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World())
        cls.lab, cls.mxmirage, cls.postfix = cls.world.lab, cls.world.mxmirage, cls.world.postfix

    def setUp(self) -> None:
        self.before = self.mxmirage.status()["messages"]["accepted"]
        self.domains = self.mxmirage.domains()

    def assert_delivered(self, sent: int, suffix: str) -> None:
        self.assertGreater(sent, 0)
        self.postfix.wait_delivered(DELIVERED_WITHIN)
        self.mxmirage.wait_idle()
        self.assertEqual(self.mxmirage.status()["messages"]["accepted"] - self.before, sent)
        grown = scene.increase(self.domains, self.mxmirage.domains(), "accepted")
        self.assertEqual(sum(grown.values()), sent)
        for domain in grown:
            self.assertEqual(domain.endswith(f".{suffix}"), bool(suffix), domain)
        biggest = max(grown, key=grown.get)
        self.assertTrue(biggest.startswith("gmail.com"), grown)
        self.assertEqual(self.world.oracle.seen(), {})

    def run_until(self, line: str, sent: int) -> tuple[int, str, str]:
        """A command line as it stands, and Ctrl-C once so many messages are sent. Exit status, output, complaints."""
        process = self.lab.start(HOST, default_binary(), "gen", *shlex.split(line), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        deadline, shown = time.monotonic() + SENT_WITHIN, ""
        for progress in process.stdout:
            shown += progress
            match = re.search(r"current rate: .* msgs/hour \(sent=([\d,]+), clients=[\d,]+\)$", progress)
            if not match or int(match[1].replace(",", "")) >= sent or time.monotonic() > deadline:
                break
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=SENT_WITHIN)
        return process.returncode, shown + output, said

    def assert_summary(self, output: str) -> int:
        """How many were sent, as the summary says."""
        did = re.search(r"^did ([\d,]+) messages over [\d.]+s, 0 failed;", output, re.MULTILINE)
        self.assertTrue(did, output)
        self.assertRegex(output, r"(?m)^transaction latency: avg=\S+ min=\S+ max=\S+ p50=\S+ p75=\S+ p90=\S+ "
                                 r"p95=\S+ p99=\S+ p99.9=\S+$")
        self.assertRegex(output, r"(?m)^overall rate: [\d,]+ msgs/s, [\d,]+ msgs/minute, [\d,]+ msgs/hour$")
        return int(did[1].replace(",", ""))

    def test_first_example(self) -> None:
        """20,000 connections at an MTA that takes 60 at a time: those that wait are no failure."""
        status, output, said = self.run_until(EXAMPLE_1, sent=200)
        self.assertEqual(status, 1, said)
        self.assertIn("\nInterrupted, stopping\n", output)
        self.assertRegex(said, r"\d+ of 100000 messages were sent when the run was interrupted")
        self.assert_delivered(self.assert_summary(output), zones.SUFFIXES[1])

    def test_first_example_without_a_suffix(self) -> None:
        done = gen(self.lab, EXAMPLE_1, "--message-count", "300", "--domain-suffix", "", timeout=SENT_WITHIN)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.assert_summary(done.stdout), 300)
        self.assert_delivered(300, "")

    def test_second_example(self) -> None:
        status, output, said = self.run_until(EXAMPLE_2, sent=200)
        self.assertEqual((status, said), (0, ""))
        self.assertIn("\nInterrupted, stopping\n", output)
        self.assert_delivered(self.assert_summary(output), zones.SUFFIXES[0])

    def test_second_example_without_a_suffix(self) -> None:
        status, output, said = self.run_until(f"{EXAMPLE_2} --domain-suffix ''", sent=200)
        self.assertEqual((status, said), (0, ""))
        self.assert_delivered(self.assert_summary(output), "")

    def test_starttls(self) -> None:
        directory = Path(self.postfix.directory)
        self.lab.run(HOST, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-days", "2", "-subj", "/CN=mta.qa.example", "-keyout", directory / "key.pem", "-out",
                     directory / "cert.pem")
        # A service of its own: those that run already would go on in the clear for a while.
        with (directory / "master.cf").open("a") as services:
            services.write("127.0.0.1:2026 inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"
                           f"  -o smtpd_tls_cert_file={directory}/cert.pem\n"
                           f"  -o smtpd_tls_key_file={directory}/key.pem\n  -o smtpd_tls_loglevel=1\n")
        self.lab.run(HOST, "postfix", "-c", directory, "reload")
        wait_until(lambda: ":2026" in self.lab.run(HOST, "ss", "-Hltn").stdout, 60, "Postfix on port 2026")
        mark = self.postfix.mark()
        line = "--target 127.0.0.1:2026 --concurrency 5 --domain-suffix '' --body-size 100kb"
        clear = gen_json(self.lab, line, "--message-count", "5")
        self.assertEqual((clear["exit"], clear["sent"], clear["failures"][0]["code"]), (1, 0, 530), clear)
        result = gen_json(self.lab, line, "--message-count", "100", "--starttls")
        self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, 100, 0), result)
        self.assertEqual(result["tls_connections"], 5)
        lines = self.postfix.log_since(mark).lines
        self.assertEqual(sum("TLS connection established from" in line for line in lines), 5)
        self.assert_delivered(100, "")


class DivertTest(unittest.TestCase):
    """Straight to an MX's address, through the divert, into mxmirage."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World(with_postfix=False))
        cls.lab, cls.mxmirage = cls.world.lab, cls.world.mxmirage

    def setUp(self) -> None:
        self.addCleanup(self.mxmirage.command, "reset")
        self.before = self.mxmirage.status()["messages"]

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    def line(self, *more: str) -> str:
        return shlex.join(["--target", f"{GMAIL}:25", "--domain-suffix", "", "--concurrency", "20", *more])

    def grown(self, column: str) -> int:
        self.mxmirage.wait_idle()
        return self.mxmirage.status()["messages"][column] - self.before[column]

    def test_every_way_to_send_is_counted(self) -> None:
        ways = {
            "pipelined where it is offered": [],
            "pipelined in any case": ["--pipeline"],
            "one at a time": ["--no-pipeline"],
            "BDAT": ["--bdat"],
            "BDAT, one at a time": ["--bdat", "--no-pipeline"],
            "one message a connection": ["--messages-per-connection", "1"],
            "seven messages a connection": ["--messages-per-connection", "7", "--no-pipeline"],
            "beside idle connections": ["--idle", "50"],
            "one thread": ["--threads", "1"],
            "more threads than CPUs": ["--threads", "7"],
            "large": ["--body-size", "1mib", "--concurrency", "4"],
            "large by BDAT": ["--body-size", "1mib", "--concurrency", "4", "--bdat"],
        }
        for name, options in ways.items():
            with self.subTest(name):
                self.before = self.mxmirage.status()["messages"]
                result = gen_json(self.lab, self.line(*options), "--message-count", str(COUNT))
                self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, COUNT, 0), result)
                self.assertEqual((self.grown("accepted"), self.grown("tempfail")), (COUNT, 0))

    def test_the_size_asked_for_arrives(self) -> None:
        file = self.lab.directory / "message.eml"
        file.write_bytes(b"Subject: dots\n\n" + b".a line\n..\n.\n" * 100)
        large = self.lab.directory / "large.eml"  # sent another way
        large.write_bytes(b"Subject: dots\n\n" + b".a line\n..\n.\n" * 20000)
        for file, options in itertools.product((file, large), ([], ["--bdat"], ["--no-pipeline"])):
            with self.subTest(file=file.name, options=options):
                size = len(file.read_bytes().replace(b"\n", b"\r\n"))
                self.before = self.mxmirage.status()["messages"]
                result = gen_json(self.lab, self.line("--body-file", str(file), *options), "--message-count", "50")
                self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, 50, 0), result)
                self.assertEqual(self.grown("bytes"), 50 * size)

    def test_connections_alone(self) -> None:
        before = self.mxmirage.sources()
        result = gen_json(self.lab, self.line("--connect-only"), "--message-count", str(COUNT))
        self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, COUNT, 0), result)
        self.assertEqual(self.grown("accepted"), 0)
        connections = sum(scene.increase(before, self.mxmirage.sources(), "connections").values())
        self.assertEqual(connections, result["connections"])
        self.assertGreaterEqual(connections, COUNT)

    def test_what_the_target_takes(self) -> None:
        pid = str(self.mxmirage.process.pid)
        responder = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        result = gen_json(self.lab, self.line("--idle", "500", "--cpu-of", responder), "--message-count", str(COUNT))
        self.assertEqual(result["exit"], 0, result)
        self.assertTrue(0 < result["measured"]["cpu_of_s"] < 60, result)
        self.assertTrue(0 < result["measured"]["idle_memory"] < 10_000_000, result)

    def test_the_same_seed_sends_the_same(self) -> None:
        counts = []
        for threads in ("1", "4"):
            before = self.mxmirage.domains()
            result = gen_json(self.lab, self.line("--seed", "7", "--threads", threads), "--message-count", "1000")
            self.assertEqual(result["exit"], 0, result)
            self.mxmirage.wait_idle()
            counts.append(scene.increase(before, self.mxmirage.domains(), "accepted"))
        self.assertEqual(counts[0], counts[1])
        self.assertGreater(len(counts[0]), 5)

    def test_sources_take_turns(self) -> None:
        before = self.mxmirage.sources()
        sources = [word for source in SOURCES_V4 for word in ("--source", source)]
        result = gen_json(self.lab, self.line("--concurrency", "30", "--threads", "1", *sources),
                          "--message-count", "3000")
        self.assertEqual(result["exit"], 0, result)
        self.mxmirage.wait_idle()
        after = self.mxmirage.sources()
        self.assertEqual(scene.increase(before, after, "connections"), dict.fromkeys(SOURCES_V4, 10))

    def test_a_throttle_holds_back(self) -> None:
        started = time.monotonic()
        result = gen_json(self.lab, self.line("--throttle", "100/s"), "--duration", "3")
        self.assertEqual(result["exit"], 0, result)
        self.assertLess(time.monotonic() - started, 10)
        self.assertTrue(200 <= result["sent"] <= 330, result)
        self.assertEqual(self.grown("accepted"), result["sent"])

    def test_nobody_listens(self) -> None:
        for options, least in (([], 0), (["--keep-going"], 2)):
            started = time.monotonic()
            done = gen(self.lab, "--target 127.0.0.1:9", "--duration", "2", *options)
            self.assertEqual(done.returncode, 1)
            self.assertIn("not one message was sent to 127.0.0.1:9; most often at connect: Connection refused",
                          done.stderr)
            self.assertTrue(least <= time.monotonic() - started < 10)

    def test_usage(self) -> None:
        for line, says in (("--concurrency none", "--concurrency none: a whole number"),
                           ("--target nowhere", "HOST:PORT is wanted"),
                           ("--source eth0", "an IP address is wanted"),
                           ("--target 127.0.0.1:65561", "a port from 1 to 65535"),
                           ("--cpu-of 2147483647", "no such process"),
                           ("--body-file /nonexistent", "No such file")):
            done = gen(self.lab, line)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(says, done.stderr)
        shown = gen(self.lab, "--help")
        self.assertEqual(shown.returncode, 0)
        self.assertIn("--domain-suffix", shown.stdout)


class RefusalTest(unittest.TestCase):
    """What mxmirage is told to answer is what the generator tells."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(World(with_postfix=False, mode="smart", more=smart.calm(smart.DEFAULT)))
        cls.lab, cls.mxmirage = cls.world.lab, cls.world.mxmirage

    def setUp(self) -> None:
        self.mxmirage.command("reset")

    def counted(self, *columns: str) -> tuple[int, ...]:
        self.mxmirage.wait_idle()
        messages = self.mxmirage.status()["messages"]
        return tuple(messages[column] for column in columns)

    def inject(self, *words: str) -> None:
        done = self.mxmirage.command("inject", *words)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_refusal_ends_the_connection_that_met_it(self) -> None:
        self.inject("550", "5.1.1", "No such user")
        result = gen_json(self.lab, LINE)
        self.assertEqual((result["exit"], result["end"], result["sent"], result["failed"]), (1, "stopped", 0, 20),
                         result)
        self.assertIn("not one message was sent", result["said"])
        self.assertIn("550 5.1.1 No such user", result["said"])
        self.assertEqual(self.counted("permfail"), (20,))

    def test_keep_going_goes_on_and_counts_each_kind(self) -> None:
        self.inject("--count", "30", "--phase", "mail", "450", "4.2.1", "Slow down")
        self.inject("--count", "40", "--phase", "end_of_data", "550", "5.7.1", "Spam")
        result = gen_json(self.lab, LINE, "--keep-going", "--message-count", str(COUNT))
        self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, COUNT, 70), result)
        kinds = {(f["phase"], f["code"], f["enhanced"]): f["messages"] for f in result["failures"]}
        self.assertEqual(kinds, {("mail", 450, "4.2.1"): 30, ("end_of_data", 550, "5.7.1"): 40})
        self.assertEqual(self.counted("accepted", "tempfail", "permfail"), (COUNT, 30, 40))

    def test_421_leads_to_another_connection(self) -> None:
        self.inject("--count", "25", "421", "4.7.0", "Too many", "--action", "reply_close")
        result = gen_json(self.lab, LINE, "--no-pipeline", "--message-count", str(COUNT))
        self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, COUNT, 25), result)
        self.assertEqual(self.counted("accepted"), (COUNT,))

    def test_lost_connections_are_told(self) -> None:
        self.inject("--count", "5", "--action", "reset")
        result = gen_json(self.lab, LINE, "--no-pipeline", "--message-count", str(COUNT))
        self.assertEqual((result["exit"], result["sent"], result["failed"]), (0, COUNT, 5), result)
        self.assertEqual({f["phase"] for f in result["failures"]}, {"rcpt"})


class HttpTest(unittest.TestCase):
    """KumoMTA's injection API, played by a server of the lab's."""

    def setUp(self) -> None:
        self.lab = self.enterContext(Lab())
        self.file = self.lab.directory / "injected"

    def start(self, port: int, *more: str) -> None:
        self.lab.start_python(HOST, "injection_server.py", port, self.file, *more)
        wait_until(lambda: f":{port}" in self.lab.run(HOST, "ss", "-Hltn").stdout, 60, "the injection server")

    def injected(self) -> list[dict]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def test_the_default_target_is_the_apis(self) -> None:
        self.start(8000)
        result = gen_json(self.lab, "--http --concurrency 4 --message-count 50 --domain one.example --domain-suffix ''",
                          "--body-size", "5000", "--header", "X-Campaign: 7", "--tenant", "acme")
        self.assertEqual((result["exit"], result["sent"], result["end"]), (0, 50, "all_sent"), result)
        requests = self.injected()
        self.assertEqual(len(requests), 50)
        for request in requests:
            self.assertEqual(set(request), {"envelope_sender", "content", "recipients", "deferred_spool",
                                            "deferred_generation"})
            self.assertEqual(request["envelope_sender"], "noreply-acme@one.example")
            self.assertFalse(request["deferred_spool"] or request["deferred_generation"])
            recipient, = request["recipients"]
            self.assertRegex(recipient["email"], r"^user-\d+@one\.example$")
            header, _, body = request["content"].partition("\r\n\r\n")
            self.assertIn(f"To: <{recipient['email']}>\r\n", header)
            self.assertIn("\r\nX-Campaign: 7", header)
            self.assertIn("\r\nX-Tenant: acme\r\n", header)
            self.assertEqual(len(body), 5000)
        self.assertEqual(len({request["recipients"][0]["email"] for request in requests}), 50)

    def test_batches(self) -> None:
        self.start(8025)
        result = gen_json(self.lab, "--http --target http://127.0.0.1:8025 --concurrency 3 --message-count 95",
                          "--http-batch-size", "10", "--http-defer-spool", "--http-defer-generation")
        self.assertEqual((result["exit"], result["sent"]), (0, 95), result)
        requests = self.injected()
        self.assertEqual(sorted(len(request["recipients"]) for request in requests), [5, *[10] * 9])
        self.assertTrue(all(r["deferred_spool"] and r["deferred_generation"] for r in requests))

    def test_failed_recipients(self) -> None:
        self.start(8025)
        result = gen_json(self.lab, "--http --target 127.0.0.1:8025 --concurrency 2 --keep-going --duration 1 "
                                    "--domain refused.example --domain fine.example --domain-suffix ''",
                          "--http-batch-size", "10")
        addresses = [r["email"] for request in self.injected() for r in request["recipients"]]
        refused = sum(address.endswith("@refused.example") for address in addresses)
        self.assertEqual((result["exit"], result["failed"], result["sent"]), (0, refused, len(addresses) - refused),
                         result)
        self.assertEqual((result["failures"][0]["phase"], result["failures"][0]["code"]), ("http", 200))

    def test_an_api_that_refuses(self) -> None:
        self.start(8025, "503")
        result = gen_json(self.lab, "--http --target http://127.0.0.1:8025/ --concurrency 3 --duration 20")
        self.assertEqual((result["exit"], result["end"], result["sent"], result["failed"]), (1, "stopped", 0, 3),
                         result)
        self.assertIn("503 not now", result["said"])

    def test_nobody_listens(self) -> None:
        for target, said in (("http://127.0.0.1:9", "http://127.0.0.1:9"), ("127.0.0.1:2025", "127.0.0.1:2025"),
                             ("", "http://127.0.0.1:8000")):
            result = gen_json(self.lab, f"--http --concurrency 2 --duration 20 {target and f'--target {target}'}")
            self.assertEqual((result["exit"], result["end"], result["sent"]), (1, "stopped", 0), result)
            self.assertIn(f"not one message was sent to {said};", result["said"])


if __name__ == "__main__":
    unittest.main()
