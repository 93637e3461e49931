"""Mail servers of a few lines that say exactly what a test wants, and hang up when it says so."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import contextmanager

HANG_UP = None


class Talker(socketserver.StreamRequestHandler):
    """Answers by the first word of each command; a whole message counts as the command "."."""

    def handle(self):
        server = self.server
        server.sessions += 1
        if not self._say(server.answers.get("greeting", "220 hello")):
            return
        while line := self.rfile.readline():
            word = line.decode(errors="replace").partition(" ")[0].strip().upper()
            server.heard.append(line.decode(errors="replace").strip())
            answer = self._answer_to(word)
            if not self._say(answer):
                return
            if word == "QUIT":
                return
            if word == "DATA" and answer.startswith("354"):
                content = b""
                while not content.endswith(b"\r\n.\r\n") and (more := self.rfile.readline()):
                    content += more
                server.contents.append(content)
                if not self._say(self._answer_to(".")):
                    return

    def _answer_to(self, word):
        usual = {"EHLO": "250 here", "DATA": "354 go on", "QUIT": "221 bye"}
        answer = self.server.answers.get(word, usual.get(word, "250 ok"))
        return answer.pop(0) if isinstance(answer, list) else answer

    def _say(self, answer):
        if answer is HANG_UP:
            return False
        for part in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(part, float):
                time.sleep(part)
                continue
            self.wfile.write(part.encode() + b"\r\n")
        return not str(answer).startswith("421")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


@contextmanager
def talker(**answers):
    """talker(RCPT="550 no such user", end="451 later"): a server on loopback for this block.

    `end` is its answer to a whole message; a list gives one answer after the other.
    """
    if "end" in answers:
        answers["."] = answers.pop("end")
    with _Server(("127.0.0.1", 0), Talker) as server:
        server.answers, server.heard, server.contents, server.sessions = answers, [], [], 0
        server.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            server.shutdown()
