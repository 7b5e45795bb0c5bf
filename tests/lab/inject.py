"""inject.py ADDRESS PORT CONNECTIONS: hands the messages on standard input, one JSON object {from, to, text}
a line, to the MTA there. Exits non-zero when it cannot be reached or refuses any."""

import json
import smtplib
import sys
from concurrent.futures import ThreadPoolExecutor


def hand_over(messages: list[dict]) -> None:
    with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="injector.qa.example", timeout=20) as smtp:
        for message in messages:
            refused = smtp.sendmail(message["from"], message["to"], message["text"])
            if refused:
                raise SystemExit(f"the MTA refused {refused}")


def main() -> None:
    connections = int(sys.argv[3])
    messages = [json.loads(line) for line in sys.stdin]
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(hand_over, (messages[n::connections] for n in range(connections))))


main()
