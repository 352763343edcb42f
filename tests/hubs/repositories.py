"""Repositories of a hub: commits of real files, with the hashes that git and LFS give them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LFS_FROM = 1024
"""Bytes; smaller files are kept by git, without a SHA-256, unless they are model weights."""
_WEIGHTS = (".gguf", ".safetensors", ".bin", ".pt")
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class HubFile:
    """One file, in memory or on disk."""

    content: bytes | Path

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def parts(self, first: int, last: int) -> Iterator[bytes]:
        """Bytes `first` to `last`, both inclusive."""
        if isinstance(self.content, bytes):
            yield self.content[first : last + 1]
            return
        with self.content.open("rb") as file:
            file.seek(first)
            left = last + 1 - first
            while left > 0 and (part := file.read(min(left, _CHUNK))):
                left -= len(part)
                yield part

    def digest(self, name: str, prefix: bytes = b"") -> str:
        hasher = hashlib.new(name, prefix, usedforsecurity=False)
        for part in self.parts(0, self.size - 1):
            hasher.update(part)
        return hasher.hexdigest()


@dataclass
class Repo:
    """`revisions` maps branches and tags to commits; `commits` a commit to its files."""

    name: str
    gated: str | bool = False
    private: bool = False
    disabled: bool = False
    tags: list[str] = field(default_factory=lambda: ["gguf", "license:apache-2.0"])
    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    oids: dict[tuple[str, str], tuple[str, str | None]] = field(default_factory=dict)
    """(commit, path) → git oid, and the SHA-256 of an LFS file."""

    def commit(self, files: Mapping[str, bytes | Path], revision: str = "main") -> str:
        """Makes `revision` point to a new commit of exactly these files; returns it."""
        kept = {path: HubFile(content) for path, content in files.items()}
        oids = {path: _oids(path, file) for path, file in kept.items()}
        commit = hashlib.sha1(repr(sorted(oids.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = kept
        self.oids |= {(commit, path): oid for path, oid in oids.items()}
        self.revisions[revision] = commit
        return commit

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.revisions.get(revision)


def _oids(path: str, file: HubFile) -> tuple[str, str | None]:
    git = file.digest("sha1", f"blob {file.size}\0".encode())
    lfs = file.size >= LFS_FROM or path.lower().endswith(_WEIGHTS)
    return git, file.digest("sha256") if lfs else None


def tree_item(repo: Repo, commit: str, path: str) -> dict[str, Any]:
    """One entry of the tree API."""
    oid, sha256 = repo.oids[commit, path]
    item: dict[str, Any] = {"type": "file", "oid": oid, "size": repo.commits[commit][path].size, "path": path}
    if sha256:
        item["lfs"] = {"oid": sha256, "size": item["size"], "pointerSize": 134}
    return item
