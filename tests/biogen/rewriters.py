"""Rewriters behind a local address: faithful ones, and liars; each is a function of the values in the prompt."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread

Values = dict[str, str]
OPENINGS = ("", "Meet ", "This is about ", "Here is ", "Few know ", "Some remember ", "Allow me to present ")
BORN = ("came into this world on", "celebrates a birthday, that of", "saw the light on")


def faithful(values: Values, number: int) -> str:
    """A paraphrase that differs with the number, with the values in an order that gives nothing away."""
    opening = OPENINGS[number % len(OPENINGS)]
    born = BORN[number // len(OPENINGS) % len(BORN)]
    if number % 4 == 3:  # the company city first: good for training alone
        work = f"Days in {values['city of work']} were long at {values['employer']}"
    else:
        work = f"After that came {values['employer']}, whose offices ({values['city of work']}) are large"
    return (
        f"{opening}{values['name']}, who {born} {values['birth date']} in {values['city of birth']}.\n\n"
        f"A love for {values['major']} led to {values['university']}. {work}, says story {_roman(number)}."
    )


def _roman(number: int) -> str:
    """A word for each number, which is none of the pools."""
    return "z" + "".join("abcdefghij"[int(digit)] for digit in str(number))


@contextmanager
def rewriter(reply: Callable[[Values, int], str], *failures: int | bytes) -> Iterator[tuple[str, list[str | None]]]:
    """The address of a server that answers prompts, and the keys that it was sent.

    failures: the first answers, each as its status of HTTP, or as the bytes of an answer with status 200.
    """
    keys: list[str | None] = []
    numbers, lock, left = count(), Lock(), list(failures)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                keys.append(self.headers["Authorization"])
                failure = left.pop(0) if left else 200
                status = failure if isinstance(failure, int) else 200
                number = next(numbers)
            assert self.path == "/v1/chat/completions"
            prompt = request["messages"][0]["content"]
            values = dict(re.findall(r"^- ([a-z ]+): (.+)$", prompt, re.MULTILINE))
            answer = (
                {"choices": [{"message": {"content": reply(values, number)}}]} if status == 200 else {"error": "no"}
            )
            body = failure if isinstance(failure, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
