"""A server that answers as the Hugging Face Hub does, for what unmask asks of it.

Made after the requests of `huggingface_hub`: a repository's listing, its files, a new repository, a
commit whose files come with it. Repositories are in memory; each commit is a digest of its files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = 10_000
"""Files from this size on are listed as large ones, with a sha256."""


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    # repository -> revision -> path -> content; "main" is the last commit
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # path -> size that the listing tells
    broken: set[str] = field(default_factory=set)  # paths whose content is another than listed
    cards: list[str] = field(default_factory=list)  # that were to be validated
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Adds files to a repository; returns the commit."""
        held = self.repositories.setdefault(repository, {"main": {}})
        whole = held["main"] | files
        facts = sorted((path, _sha1(one).hexdigest()) for path, one in whole.items())
        commit = _sha1(json.dumps(facts).encode()).hexdigest()
        held["main"] = held[commit] = whole
        return commit

    def commit_of(self, repository: str, revision: str) -> str | None:
        """The commit that a revision names; None where there is none."""
        held = self.repositories.get(repository, {})
        if revision not in held:
            return None
        return next(one for one, files in held.items() if one != "main" and files is held[revision])


def _sha1(content: bytes) -> Any:
    return hashlib.sha1(content, usedforsecurity=False)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.hub.requests.append(self.path)
        path = self.path.split("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^/]+))?", path):
            self._listing(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[2], found[3])
        else:
            self._json({"error": "not found"}, 404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.hub.requests.append(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            facts = json.loads(sent)
            name = f"{facts.get('organization') or 'me'}/{facts['name']}"
            told = facts.get("private") or facts.get("visibility") == "private"
            self.hub.private[name] = bool(told)
            self.hub.repositories.setdefault(name, {"main": {}})
            self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": "0"})
        elif self.path == "/api/validate-yaml":
            self.hub.cards.append(json.loads(sent)["content"])
            self._json({"warnings": [], "errors": []})
        elif re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", self.path):
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in json.loads(sent)["files"]
            ]
            self._json({"files": files})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            lines = [json.loads(line) for line in sent.splitlines()]
            files = {
                one["value"]["path"]: base64.b64decode(one["value"]["content"])
                for one in lines
                if one["key"] == "file"
            }
            commit = self.hub.commit(found[1], files)
            url = f"{self.hub.url}/{found[1]}/commit/{commit}"
            self._json({"commitUrl": url, "commitOid": commit, "pullRequestUrl": None})
        else:
            self._json({"error": "not found"}, 404)

    def _listing(self, repository: str, revision: str) -> None:
        commit = self.hub.commit_of(repository, revision)
        if repository not in self.hub.repositories:
            self._json({"error": "x"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif commit is None:
            self._json({"error": "x"}, 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = []
            for path, content in self.hub.repositories[repository][commit].items():
                header = f"blob {len(content)}\0".encode()
                size = self.hub.sizes.get(path, len(content))
                one = {"rfilename": path, "size": size,
                       "blobId": _sha1(header + content).hexdigest()}  # fmt: skip
                if len(content) >= LARGE:
                    sha256 = hashlib.sha256(content).hexdigest()
                    one["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 130}
                siblings.append(one)
            self._json({"_id": "0", "id": repository, "sha": commit, "siblings": siblings,
                        "private": False, "downloads": 0, "likes": 0, "tags": []})  # fmt: skip

    def _file(self, repository: str, revision: str, path: str) -> None:
        content = self.hub.repositories.get(repository, {}).get(revision, {}).get(path)
        revision = self.hub.commit_of(repository, revision) or revision
        if content is None:
            self._json({"error": "x"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        if path in self.hub.broken:
            content = content[:-1] + b"!"
        headers = {"X-Repo-Commit": revision, "ETag": f'"{_sha1(content).hexdigest()}"'}
        self._answer(content, 200, headers, "application/octet-stream")

    def _json(self, facts: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(facts).encode(), status, headers or {}, "application/json")

    def _answer(self, content: bytes, status: int, headers: dict[str, str], kind: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Type": kind}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
