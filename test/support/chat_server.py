"""An OpenAI-compatible server in a process of its own, whose answers a test chooses: `python chat_server.py MODE`; prints its port.

Modes: ok, echo (the request as its answer), flaky (503 twice, then ok), slow (never within a second), garbage, huge, denied (401), redirect.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = {"matches": [{"id": 2, "score": 90, "why": "it is the lounge"}, {"id": 99, "score": 80, "why": "an id that no map has"}]}
MODE = sys.argv[1] if len(sys.argv) > 1 else "ok"
served = 0


class Handler(BaseHTTPRequestHandler):
    """Answers POST /v1/chat/completions."""

    def do_POST(self) -> None:
        global served
        served += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if MODE == "flaky" and served <= 2:
            return self._send(503, b"busy")
        if MODE == "denied":
            return self._send(401, b"who are you")
        if MODE == "redirect":
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:9/")
            return self.end_headers()
        if MODE == "slow":
            time.sleep(3.0)
        if MODE == "garbage":
            return self._send(200, b"<html>not json</html>")
        if MODE == "huge":
            return self._send(200, b"x" * 3_000_000)
        content = json.dumps({**body, "authorization": self.headers.get("Authorization", "")}) if MODE == "echo" else json.dumps(ANSWER)
        return self._send(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have gone
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
