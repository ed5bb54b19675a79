"""A local double of the hub's interface: accounts, repositories, commits, large files, and downloads."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

OWNER, TOKEN = "tester", "hf_of_the_tester"
LARGE = (".safetensors", ".parquet", ".png")


class Hub(ThreadingHTTPServer):
    """repositories: files by name, of each `models/OWNER/NAME` or `datasets/OWNER/NAME`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        """Tests print nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["api", "validate-yaml"]:
            return self.say({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.say({"error": "Invalid credentials"}, 401)
        if parts == ["api", "repos", "create"]:
            return self.create(json.loads(body))
        if parts[-3:] == ["lfs", "objects", "batch"]:
            return self.batch(json.loads(body))
        repository = self.server.repositories["/".join(parts[1:4])]
        if parts[4] == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in files}
            return self.say(
                {"files": [{"path": n, "uploadMode": m, "shouldIgnore": False, "oid": None} for n, m in modes.items()]}
            )
        assert parts[4] == "commit"
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository[value["path"]] = self.server.large[value["oid"]]
        address = "/".join([self.server.address, *parts[1:4]]).replace("/models/", "/")
        return self.say({"commitUrl": f"{address}/commit/1", "commitOid": "1" * 40})

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(body).hexdigest() == self.path.rpartition("/")[2]
        self.server.large[self.path.rpartition("/")[2]] = body
        self.say({})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts == ["api", "whoami-v2"]:
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            return self.say({"name": OWNER, "type": "user"} if known else {"error": "Invalid"}, 200 if known else 401)
        if "resolve" in parts:
            files = self.server.repositories.get("models/" + "/".join(parts[:2]), {})
            if (content := files.get("/".join(parts[4:]))) is not None:
                etag = hashlib.sha256(content).hexdigest()
                return self.answer(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": "1" * 40})
        return self.answer(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "1" * 40})

    def create(self, wanted):
        owner = wanted.get("organization") or OWNER
        if owner != OWNER:
            return self.say({"error": f"You don't have the rights to create a model under the namespace {owner}"}, 403)
        kind = wanted.get("type") or "model"
        name = f"{kind}s/{owner}/{wanted['name']}"
        self.server.repositories.setdefault(name, {})
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.server.private.add(name)
        address = "/".join([self.server.address, *(["datasets"] if kind == "dataset" else []), owner, wanted["name"]])
        return self.say({"url": address, "name": f"{owner}/{wanted['name']}"})

    def batch(self, wanted):
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}}
            for one in wanted["objects"]
        ]
        return self.say({"transfer": "basic", "objects": objects})

    def say(self, value, status=200):
        self.answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def answer(self, body, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
