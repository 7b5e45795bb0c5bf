"""injection_server.py PORT FILE [STATUS]: KumoMTA's HTTP injection API on 127.0.0.1, as far as a client sees it.
Each request that is right is a line of JSON in FILE; every recipient of the domain "refused.example" is
reported as failed. With a STATUS every request is answered by that and nothing else.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if STATUS:
            self.answer(STATUS, b"not now")
            return
        if self.path != "/api/inject/v1" or self.headers["Content-Type"] != "application/json":
            self.answer(404, b"no such thing")
            return
        request = json.loads(body)
        recipients = [recipient["email"] for recipient in request["recipients"]]
        failed = [email for email in recipients if email.endswith("@refused.example")]
        with LOCK, open(FILE, "a") as file:
            print(json.dumps(request), file=file)
        self.answer(200, json.dumps({
            "success_count": 0 if request["deferred_generation"] else len(recipients) - len(failed),
            "fail_count": len(failed), "failed_recipients": failed,
            "errors": [f"{email}: refused" for email in failed]}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


PORT, FILE = int(sys.argv[1]), sys.argv[2]
STATUS = int(sys.argv[3]) if len(sys.argv) > 3 else 0
Server(("127.0.0.1", PORT), Handler).serve_forever()
