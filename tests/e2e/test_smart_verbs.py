"""The smart responder by its verbs, and as an SMTP client sees it: whose words it speaks where, what it refuses
to relay, what is injected, reset and reloaded."""

from __future__ import annotations

import ipaddress
import pty
import re
import smtplib
import subprocess
import termios
import time
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import scene
import smart
import zones
from client import Client, Reply, deliver
from lab import SOURCES_V4, wait_until
from world import World

GMAIL = sorted(zones.domain_addresses("gmail.com"))
HOST_OF = {address: host for host, addresses in zones.ADDRESSES.items() for address in addresses}
CALM = smart.calm(smart.DEFAULT, smart.GOOGLE, smart.MICROSOFT, "outlook", "mimecast")

# Domains hosted elsewhere: their host's name, and how its banner goes on behind the MX host's name.
HOSTED = {
    smart.WORKSPACE: (smart.GOOGLE, r"ESMTP \S+ - gsmtp"),
    smart.TENANT: (smart.MICROSOFT, r"Microsoft ESMTP MAIL Service ready at .*"),
    "example.net": ("mimecast", r"ESMTP.*"),
}
# So many connections that each of the workers has had one, as good as certainly.
EVERY_WORKER = 25


class VerbsTest(unittest.TestCase):
    processes = 1

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = cls.enterClassContext(
            World(with_postfix=False, mode="smart", more=CALM, processes=cls.processes))
        cls.mxmirage = cls.world.mxmirage
        # What is known of well-known domains is looked up at the start: until then all banners are alike.
        wait_until(lambda: all("gsmtp" in cls.banner(a) for a in GMAIL for _ in range(5)), 30, "Google's banner")

    def setUp(self) -> None:
        self.configure(CALM)
        self.verb("reset")

    def tearDown(self) -> None:
        self.assertEqual(self.world.oracle.seen(), {})

    @classmethod
    def banner(cls, address: str) -> str:
        with Client(cls.world.lab, address) as client:
            return client.banner.text

    def client(self, address: str = GMAIL[0]) -> Client:
        return self.enterContext(Client(self.world.lab, address))

    def deliver(self, recipient: str, address: str = GMAIL[0], **options: object) -> Reply:
        return deliver(self.world.lab, address, recipient, **options)

    def verb(self, *argv: str) -> str:
        done = self.mxmirage.command(*argv)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def configure(self, more: str) -> None:
        self.mxmirage.configure(mode="smart", more=more)
        self.verb("reload")

    def mismatches(self) -> int:
        return self.mxmirage.status()["recipients"]["mx_mismatch"]

    # Whose words are spoken where.

    def test_tenants_answer_as_their_host(self) -> None:
        for domain, (provider, banner) in HOSTED.items():
            addresses = sorted(zones.domain_addresses(domain))
            with self.subTest(domain):
                for n in range(EVERY_WORKER):
                    self.assertEqual(self.deliver(f"user@{domain}", addresses[n % len(addresses)]).code, 250)
                for address in addresses * 3:
                    client = self.client(address)
                    self.assertRegex(client.banner.text, f"^{re.escape(HOST_OF[address])} {banner}$")
                    code, text = client.ehlo()
                    self.assertEqual((code, text.decode().split("\n")[0].split()[0]), (250, HOST_OF[address]))
                self.assertEqual(self.mxmirage.json("explain", f"user@{domain}")["provider"]["name"], provider)
        accepted = scene.increase({}, self.mxmirage.providers(), "accepted")
        self.assertEqual(accepted, {provider: EVERY_WORKER for provider, _ in HOSTED.values()})

    def test_domains_known_by_name_alone(self) -> None:
        """Their profiles match no MX host, so the domain counts, also for who dials."""
        names = {"comcast.net": "comcast", "laposte.net": "laposte", "free.fr": "free"}
        self.configure(smart.calm(*names.values()))
        for domain in names:
            for address in sorted(zones.domain_addresses(domain)):
                for _ in range(3):
                    self.assertEqual(self.deliver(f"user@{domain}", address).code, 250)
        accepted = scene.increase({}, self.mxmirage.providers(), "accepted")
        self.assertEqual(accepted, {provider: 3 * len(zones.domain_addresses(domain))
                                    for domain, provider in names.items()})

    def test_tenants_are_refused_in_their_hosts_words(self) -> None:
        for domain, (provider, _) in HOSTED.items():
            with self.subTest(domain):
                self.configure(smart.profile(provider, bounce=100))
                corpus = smart.Corpus(self.mxmirage, f"user@{domain}")
                address = sorted(zones.domain_addresses(domain))[0]
                for n in range(10):
                    reply = self.deliver(f"user{n}@{domain}", address)
                    self.assertIn("bounce", corpus.kinds(*reply), reply)
        refused = scene.increase({}, self.mxmirage.providers(), "permfail")
        self.assertEqual(refused, {provider: 10 for provider, _ in HOSTED.values()})

    def test_responses_file(self) -> None:
        """The smart sink's file: by the domain's name, at the end of data."""
        responses = self.mxmirage.directory / "responses.toml"
        responses.write_text('[default]\nbounce = 0\ndefer = 0\n[domain."gmail.com"]\nbounce = 0\ndefer = 100\n'
                             '[[defer."gmail.com"]]\ncode = 451\nmsg = "4.7.1 by the file"\n')
        responses.chmod(0o644)
        self.configure('responses = "responses.toml"\n')
        reply = self.deliver("user@gmail.com")
        self.assertEqual((reply.code, reply.text), (451, "4.7.1 by the file"))
        self.assertEqual(self.mxmirage.domains()["gmail.com"]["tempfail"], 1)

    # Relaying.

    def test_a_foreign_domain_is_not_relayed(self) -> None:
        for address in (GMAIL[0], GMAIL[-1]):
            client = self.client(address)
            before = self.mismatches()
            foreign, own, hosted = client.recipients(
                f"user@{smart.TENANT}", "user@gmail.com", f"user@{smart.WORKSPACE}")
            self.assertEqual(self.mismatches(), before + 1)
            self.assertEqual(foreign.code // 100, 5, foreign)
            self.assertIn("elay", foreign.text, "in the words of the server that was dialled")
            self.assertNotIn("outlook.com", foreign.text)
            self.assertEqual((own.code, hosted.code), (250, 250))

    def test_mismatch_may_be_accepted(self) -> None:
        self.configure(f'mx_mismatch = "accept"\n{CALM}')
        self.assertEqual(self.deliver(f"user@{smart.TENANT}").code, 250)
        self.assertEqual(self.mismatches(), 0)

    # Explain.

    def test_explain_tells_all(self) -> None:
        self.configure(smart.profile(smart.GOOGLE, defer=12.5, bounce=0.25, more="max_message_rate = \"7/min\"\n"))
        domain = next(d for d in zones.DOMAINS if d.name == smart.WORKSPACE)
        own, foreign = sorted(zones.domain_addresses(domain.name))[0], GMAIL[0]
        explained = self.mxmirage.json("explain", f"user@{domain.name}", "--from", SOURCES_V4[0], "--to", own)
        self.assertEqual([(mx["preference"], mx["host"]) for mx in explained["dns"]["mx"]], list(domain.exchanges))
        self.assertEqual({str(ipaddress.ip_address(a)) for a in explained["dns"]["addresses"]},
                         zones.domain_addresses(domain.name))
        self.assertEqual(explained["provider"]["name"], smart.GOOGLE)
        self.assertIn(".google.com", explained["provider"]["why"])
        self.assertEqual(explained["site"], "(alt1|alt2|alt3|alt4)?.aspmx.l.google.com")
        self.assertEqual((explained["defer_percent"], explained["bounce_percent"]), (12.5, 0.25))
        self.assertIn({"name": "max_message_rate", "count": 7, "per_s": 60}, explained["limits"])
        self.assertRegex(self.verb("explain", f"user@{domain.name}"), "(?m) max_message_rate = 7/min$")
        drawn = {"defer": 0.0, "bounce": 0.0}
        for reply in explained["replies"]:
            self.assertRegex(reply["file"], r"google\.toml$")
            self.assertGreater(reply["line"], 0)
            if reply["kind"] in drawn:
                drawn[reply["kind"]] += reply["percent"]
        self.assertAlmostEqual(drawn["defer"], 12.5)
        self.assertAlmostEqual(drawn["bounce"], 0.25)
        self.assertTrue(explained["served_at_destination"])
        self.assertFalse(self.mxmirage.json("explain", f"user@{domain.name}", "--to", foreign)
                         ["served_at_destination"])

    def test_explain_counts_a_senders_connections(self) -> None:
        source = SOURCES_V4[1]
        for expected in range(3):
            sender = self.mxmirage.json("explain", "user@gmail.com", "--from", source)["sender"]
            self.assertEqual(sender["connections"], expected)
            self.enterContext(Client(self.world.lab, GMAIL[0], source))

    def test_explain_for_people(self) -> None:
        shown = self.verb("explain", f"user@{smart.WORKSPACE}")
        self.assertIn("alt4.aspmx.l.google.com", shown)
        self.assertRegex(shown, r"google: every MX host has \.google\.com \(\S+google\.toml:\d+\)")
        self.assertRegex(shown, r"550 5\.1\.1 .* \S+google\.toml:\d+")

    def test_explain_refuses_nonsense(self) -> None:
        for argv in (["nobody"], ["user@gmail.com", "--from", "gmail.com"], ["user@gmail.com", "--to", "1.2.3"],
                     ["user@"], ["@gmail.com"], ["<user@gmail.com>"], ["user@gmail..com"], ["a user@gmail.com"]):
            with self.subTest(argv):
                done = self.mxmirage.command("explain", *argv)
                self.assertEqual(done.returncode, 2)
                self.assertIn("explain USER@DOMAIN", done.stderr)

    def test_explain_says_what_comes_before_the_odds(self) -> None:
        self.assertNotRegex(self.verb("explain", "user@gmail.com"), "(?m)^(asks for|injected)")
        self.assertRegex(self.verb("explain", "tempfail@gmail.com"), r"(?m)^asks for +451 4\.7\.1 at rcpt")
        self.assertRegex(self.verb("explain", "552-5.2.2-end_of_data@gmail.com"),
                         r"(?m)^asks for +552 5\.2\.2 at end_of_data")
        self.assertRegex(self.verb("explain", "success@gmail.com"), "(?m)^asks for +acceptance")
        self.verb("inject", "--domain", "gmail.com", "--count", "1", "--source", SOURCES_V4[0], "421", "Slow down")
        for argv, injected in ((["user@gmail.com"], 1), (["user@gmail.com", "--from", SOURCES_V4[0]], 1),
                               (["user@gmail.com", "--from", SOURCES_V4[1]], None), (["user@qq.com"], None)):
            self.assertEqual(self.mxmirage.json("explain", *argv).get("injected"), injected, argv)
        self.assertEqual(self.deliver("user@gmail.com", source=SOURCES_V4[0]).code, 421)
        self.assertNotIn("injected", self.mxmirage.json("explain", "user@gmail.com"), "it is used up")

    def test_explain_says_what_a_relay_attempt_comes_to(self) -> None:
        argv = "explain", f"user@{smart.TENANT}", "--to", GMAIL[0]
        self.assertRegex(self.verb(*argv), "none of the domain's MX hosts: refused as a relay attempt")
        self.configure(f'mx_mismatch = "accept"\n{CALM}')
        self.assertRegex(self.verb(*argv), "(?m)none of the domain's MX hosts$")

    # Status.

    def test_the_way_to_open_is_one_that_works(self) -> None:
        """While this daemon owns the rules, `guard disarm` is refused: it is to be stopped first."""
        self.assertRegex(self.verb("status"), "devices guarded: 2; to open port 25 stop mxmirage, then `mxmirage guard")
        self.assertRegex(self.verb("guard", "status"), "`mxmirage guard disarm` opens it; a daemon that was run by hand is to be stopped first")
        refused = self.mxmirage.command("guard", "disarm")
        self.assertEqual(refused.returncode, 70)
        self.assertRegex(refused.stderr, f"{self.mxmirage.process.pid}, .*: stop that one first")
        self.assertTrue(self.mxmirage.status()["guard"]["static"], "not even the wall is gone")

    # Tables.

    def in_terminal(self, columns: int, *argv: str) -> list[str]:
        """The lines that a verb shows in a window so wide."""
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (40, columns))
        with open(its, "wb"), open(ours, "rb", buffering=0) as shown:
            subprocess.run([self.mxmirage.binary, *argv, "--socket", self.mxmirage.socket], stdout=its, timeout=30,
                           stdin=subprocess.DEVNULL, check=True)
            return shown.read(65536).decode().splitlines()

    def test_a_long_name_leaves_the_numbers_in_the_window(self) -> None:
        long = ".".join(["a" * 60] * 4)
        self.assertEqual([self.deliver(f"user@{domain}").code for domain in (f"{long}.example", "gmail.com")], [250] * 2)
        lines = self.in_terminal(80, "domains")
        self.assertEqual({len(line) for line in lines}, {80}, lines)
        self.assertRegex("\n".join(lines), r"(?m)^a{20,}… +1 +0 +0 ")
        self.assertIn(f"{long}.example ", self.verb("domains"), "in full where nobody watches")

    # Inject and reset.

    def test_inject_into_a_sink(self) -> None:
        """What accepts everything keeps to what is injected, and explain says so."""
        self.mxmirage.configure(mode="sink")
        self.verb("reload")
        self.assertRegex(self.verb("explain", "permfail@gmail.com"), r"(?m)^asks for +550 5\.7\.1 at rcpt")
        self.verb("inject", "--domain", "gmail.com", "--for", "60s", "--count", "2", "450", "4.2.1", "Not now, {rcpt}")
        self.assertRegex(self.verb("explain", "user@gmail.com"), "(?m)^injected +1,")
        replies = [self.deliver(f"user{n}@{domain}") for n, domain in
                   enumerate(("gmail.com", "qq.com", "gmail.com", "gmail.com"))]
        self.assertEqual(replies[0], Reply(450, "4.2.1 Not now, user0@gmail.com"))
        self.assertEqual([r.code for r in replies], [450, 250, 450, 250])
        self.verb("inject", "--phase", "connect", "--count", "1", "554", "Closed")
        self.assertEqual([self.deliver("user@qq.com").code for _ in range(2)], [554, 250])
        self.assertEqual(self.mxmirage.status()["messages"]["tempfail"], 2)

    def test_inject_the_next_three(self) -> None:
        self.verb("inject", "--domain", "gmail.com", "--count", "3", "421", "4.7.28", "Slow down, {ip}")
        client = self.client()
        self.assertEqual(client.deliver(f"user@{smart.WORKSPACE}").code, 250, "of another domain")
        replies = [self.deliver(f"user{n}@gmail.com", source=SOURCES_V4[0]) for n in range(6)]
        self.assertEqual(replies[:3], [Reply(421, f"4.7.28 Slow down, {SOURCES_V4[0]}")] * 3)
        self.assertEqual([r.code for r in replies[3:]], [250] * 3)
        one, = self.mxmirage.json("inject")["injections"]
        self.assertEqual({k: one[k] for k in ("domain", "phase", "code", "enhanced", "count", "used")}, {
            "domain": "gmail.com", "phase": "rcpt", "code": 421, "enhanced": "4.7.28", "count": 3, "used": 3})
        self.assertRegex(self.verb("inject"), r"gmail\.com.* 421 4\.7\.28 Slow down.*used 3 of 3; over")
        gmail = self.mxmirage.domains()["gmail.com"]
        self.assertEqual((gmail["accepted"], gmail["tempfail"], gmail["permfail"]), (3, 3, 0))

    def test_421_is_counted_before_it_is_said(self) -> None:
        """Not when the client has gone: until then we may be killed."""
        self.verb("inject", "--domain", "gmail.com", "--count", "1", "421", "4.7.28", "Slow down")
        client = Client(self.world.lab, GMAIL[0])
        self.addCleanup(client.close)
        self.assertEqual(client.deliver("user@gmail.com").code, 421)
        self.assertEqual(self.mxmirage.status()["messages"]["tempfail"], 1)
        self.assertEqual(self.mxmirage.status()["connections"]["open"], 1, "the client has not gone yet")

    def test_inject_for_no_time_is_not_for_ever(self) -> None:
        for option in ("--for", "--delay"):
            done = self.mxmirage.command("inject", option, "0s", "450")
            self.assertEqual((done.returncode, f"{option} 0s is no time" in done.stderr), (2, True), done.stderr)
        self.assertEqual(self.mxmirage.json("inject")["injections"], [])

    def test_inject_takes_one_back(self) -> None:
        self.verb("inject", "--domain", "gmail.com", "421", "Slow down")
        self.verb("inject", "--domain", "yahoo.com", "421", "Slow down")
        self.assertRegex(self.verb("inject", "--end", "1"), r"(?m)^ 1 .*gmail\.com.*; over$")
        self.assertNotIn("injected", self.mxmirage.json("explain", "user@gmail.com"))
        self.assertEqual(self.mxmirage.json("explain", "user@yahoo.com")["injected"], 1)
        for number, code, text in (("1", 2, "no injection 1 is in force"), ("x", 2, "no number from 1 on")):
            done = self.mxmirage.command("inject", "--end", number)
            self.assertEqual((done.returncode, text in done.stderr), (code, True), done.stderr)

    def test_inject_counts_over_all_workers(self) -> None:
        """However many come at once, exactly so many get it."""
        self.verb("inject", "--provider", smart.GOOGLE, "--count", "17", "450", "4.2.1", "Not now")
        with ThreadPoolExecutor(20) as pool:
            replies = pool.map(lambda n: self.deliver(f"user{n}@gmail.com", GMAIL[n % len(GMAIL)]), range(100))
        self.assertEqual(Counter(reply.code for reply in replies), {450: 17, 250: 83})

    def test_inject_at_each_phase(self) -> None:
        for phase, code in (("connect", 554), ("mail", 451), ("rcpt", 550), ("data", 451), ("end_of_data", 554)):
            with self.subTest(phase):
                self.verb("reset")
                self.verb("inject", "--provider", smart.GOOGLE, "--phase", phase, "--count", "1", str(code), "here")
                self.assertEqual(self.deliver("user@gmail.com"), Reply(code, "here"))
                self.assertEqual(self.deliver("user@gmail.com").code, 250)
                messages = self.mxmirage.status()["messages"]
                counted = {name: messages[name] for name in ("accepted", "tempfail", "permfail")}
                # Who is refused before MAIL has not said that there is a message.
                refused = 0 if phase == "connect" else 1
                self.assertEqual(counted, {"accepted": 1, "tempfail": refused * (code < 500),
                                           "permfail": refused * (code >= 500)})

    def test_inject_at_ehlo(self) -> None:
        self.verb("inject", "--phase", "ehlo", "--count", "1", "502", "5.5.1", "Say HELO")
        client = self.client()
        self.assertEqual(client.ehlo(), (502, b"5.5.1 Say HELO"))
        self.assertEqual(client.helo()[0], 250)
        self.assertEqual(client.deliver("user@gmail.com").code, 250)

    def test_inject_silence(self) -> None:
        """The connection ends, or is not answered, in place of a reply."""
        for action in ("close", "reset", "hang"):
            with self.subTest(action):
                self.verb("inject", "--domain", "gmail.com", "--action", action, "--count", "1")
                client = self.enterContext(Client(self.world.lab, GMAIL[0]))
                client.sock.settimeout(1 if action == "hang" else 10)
                with self.assertRaises(smtplib.SMTPServerDisconnected) as raised:
                    client.deliver("user@gmail.com")
                self.assertEqual("timed out" in str(raised.exception), action == "hang")
                self.assertEqual(self.deliver("user@gmail.com").code, 250)

    def test_inject_a_delay(self) -> None:
        self.verb("inject", "--phase", "mail", "--delay", "2s", "--count", "1")
        for least, most in ((1.9, 10), (0, 1.8)):
            began = time.monotonic()
            self.assertEqual(self.deliver("user@gmail.com").code, 250)
            took = time.monotonic() - began
            self.assertTrue(least < took < most, took)

    def test_inject_for_a_time(self) -> None:
        self.verb("inject", "--source", SOURCES_V4[2], "--for", "6s", "450", "4.2.0", "Later")
        self.assertEqual(self.deliver("user@gmail.com", source=SOURCES_V4[1]).code, 250, "another sender")
        self.assertEqual(self.deliver("user@gmail.com", source=SOURCES_V4[2]), Reply(450, "4.2.0 Later"))
        self.assertRegex(self.verb("inject"), "used once; [1-6] s left")
        wait_until(lambda: self.deliver("user@gmail.com", source=SOURCES_V4[2]).code == 250, 20, "its end")
        self.assertRegex(self.verb("inject"), r"(once|times); over\n")

    def test_inject_for_less_than_a_second(self) -> None:
        """Which is not for ever."""
        self.verb("inject", "--for", "100ms", "450", "4.2.0", "Later")
        wait_until(lambda: self.deliver("user@gmail.com").code == 250, 10, "its end")

    def test_inject_refuses_nonsense(self) -> None:
        for argv, remedy in ((["250"], "400 to 599"), (["--phase", "banner", "421"], "connect"),
                             (["--action", "slam", "421"], "reset"),
                             (["--provider", "gogle", "421"], 'did you mean "google"'),
                             (["--source", "here", "421"], "no IP address"),
                             (["--count", "few", "421"], "--count"),
                             (["--domain", "gmail.com"], "CODE"),
                             (["421x"], "no number"),
                             (["--domain", "", "421"], "domain is empty"),
                             (["--source", "", "--delay", "5s"], "source is empty"),
                             (["421", "5.7.1", "No"], "contradict"),
                             (["--phase", "mail", "--domain", "a.b", "421"], "rcpt"),
                             (["421", "4.7.1", "{addr}"], "{")):
            with self.subTest(argv):
                done = self.mxmirage.command("inject", *argv)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn(remedy, done.stderr)
        self.assertEqual(self.mxmirage.json("inject")["injections"], [])

    def test_reset(self) -> None:
        self.verb("inject", "550", "never")
        self.deliver("user@gmail.com")
        self.assertEqual(self.mxmirage.status()["recipients"]["permfail"], 1)
        asked = int(time.time())
        self.assertEqual(self.mxmirage.json("reset"), {"reset": True})
        self.assertEqual(self.mxmirage.json("inject")["injections"], [])
        status = self.mxmirage.status()
        self.assertGreaterEqual(status["counting_since_s"], asked)
        for group in ("messages", "recipients"):
            self.assertEqual({k: v for k, v in status[group].items() if v}, {})
        self.assertEqual(status["connections"]["total"], 0)
        for rows in (self.mxmirage.providers(), self.mxmirage.domains(), self.mxmirage.destinations(),
                     self.mxmirage.sources()):
            self.assertEqual(scene.increase({}, rows, "permfail"), {})
        self.assertEqual(self.deliver("user@gmail.com").code, 250)
        self.assertEqual(self.mxmirage.domains()["gmail.com"]["accepted"], 1)

    # Reload.

    def test_a_session_keeps_its_odds_over_a_reload(self) -> None:
        old = self.client()
        self.assertEqual(old.deliver("one@gmail.com").code, 250)
        self.configure(smart.profile(smart.GOOGLE, bounce=100))
        for n in range(5):
            self.assertEqual(old.deliver(f"old{n}@gmail.com").code, 250, "the session that was open")
            self.assertEqual(self.deliver(f"new{n}@gmail.com").code // 100, 5, "a new one")
        self.configure(CALM)
        self.assertEqual(self.deliver("user@gmail.com").code, 250)
        self.assertEqual(old.deliver("last@gmail.com").code, 250)

    def test_bad_profile_changes_nothing(self) -> None:
        for mistake, remedy in ((f'[provider."{smart.GOOGLE}"]\nbuonce = 1\n', 'did you mean "bounce"'),
                                (f'[provider."{smart.GOOGLE}"]\nbounce = 101\n', "100"),
                                (f'[provider."{smart.GOOGLE}"]\nbounce = 60\ndefer = 50\n', "100")):
            with self.subTest(mistake):
                self.mxmirage.configure(mode="smart", more=mistake)
                done = self.mxmirage.command("reload")
                self.assertEqual(done.returncode, 78, done.stdout)
                line = self.mxmirage.file.read_text().splitlines().index(f'[provider."{smart.GOOGLE}"]') + 1
                self.assertRegex(done.stderr, rf"{re.escape(str(self.mxmirage.file))}:({line}|{line + 1}|{line + 2}):")
                self.assertIn(remedy, done.stderr)
                self.assertEqual(self.mxmirage.check(self.mxmirage.file).returncode, 78)
                self.assertEqual(self.deliver("user@gmail.com").code, 250)


class ProcessesVerbsTest(VerbsTest):
    """All of it holds over several processes as well."""

    processes = 3


if __name__ == "__main__":
    unittest.main()
