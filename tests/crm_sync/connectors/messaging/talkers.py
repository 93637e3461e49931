"""Mail servers of a few lines that say exactly what a test wants, and hang up when it says so."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from contextlib import contextmanager

HANG_UP = None


class Talker(socketserver.StreamRequestHandler):
    """Answers by the first word of each command; a whole message counts as the command "."."""

    server: _Server

    def handle(self):
        server = self.server
        if server.certificate and "STARTTLS" not in server.answers and not self._encrypt():
            return
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
            if word == "STARTTLS" and server.certificate and not self._encrypt():
                return
            if word == "DATA" and answer.startswith("354"):
                content = b""
                while not content.endswith(b"\r\n.\r\n") and (more := self.rfile.readline()):
                    content += more
                server.contents.append(content)
                if not self._say(self._answer_to(".")):
                    return

    def _encrypt(self):
        try:
            self.request = self.server.certificate.wrap_socket(self.request, server_side=True)
        except ssl.SSLError:
            return False
        self.setup()
        return True

    def finish(self):
        super().finish()
        self.request.close()

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

    def __init__(self, answers, certificate):
        super().__init__(("127.0.0.1", 0), Talker)
        self.answers, self.port = answers, self.server_address[1]
        self.heard: list[str] = []
        self.contents: list[bytes] = []
        self.sessions = 0
        self.certificate = certificate


@contextmanager
def talker(certificate=None, **answers):
    """talker(RCPT="550 no such user", end="451 later"): a server on loopback for this block.

    `end` is its answer to a whole message; a list gives one answer after the other. With a
    `certificate` it speaks TLS: from the start, or after STARTTLS where it has an answer to that.
    """
    if "end" in answers:
        answers["."] = answers.pop("end")
    with _Server(answers, certificate) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            server.shutdown()
