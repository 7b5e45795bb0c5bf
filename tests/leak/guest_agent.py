"""Inside the guest: runs the commands that come through the virtio port, one after the other.

A request is a line of JSON, {"id", "argv", "input": bytes that follow, "seconds"}; the answer is a line, {"id",
"status", "stdout": bytes, "stderr": bytes}, and those bytes. A command that takes too long is killed with all its children
and has status 124. Nothing of the network is used, so that a guest without one still answers.
"""

import json
import os
import signal
import subprocess
import time

PORT = "/dev/virtio-ports/campaign"


def read(port: int, size: int) -> bytes:
    """Exactly so many bytes. While nobody is connected, the port reads as ended: wait."""
    data = b""
    while len(data) < size:
        got = os.read(port, size - len(data))
        if not got:
            time.sleep(0.02)
        data += got
    return data


def read_line(port: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += read(port, 1)
    return line


def write(port: int, data: bytes) -> None:
    while data:
        data = data[os.write(port, data):]


def run(request: dict, given: bytes) -> tuple[int, bytes, bytes]:
    try:
        process = subprocess.Popen(request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        return 127, b"", str(error).encode()
    try:
        out, err = process.communicate(given, request["seconds"])
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return 124, out, err


def main() -> None:
    while not os.path.exists(PORT):
        time.sleep(0.05)
    port = os.open(PORT, os.O_RDWR)
    while True:
        try:
            request = json.loads(read_line(port))
        except ValueError:  # the rest of what an agent before the shutdown had begun to read
            continue
        status, out, err = run(request, read(port, request["input"]))
        write(port, json.dumps({"id": request["id"], "status": status, "stdout": len(out), "stderr": len(err)}).encode() + b"\n" + out + err)


main()
