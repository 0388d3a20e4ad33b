"""The source trees that the benchmarks index: fetched by name, checked by SHA-256, unpacked once, kept.

``get("django", keep)`` gives the same files on every machine. Fetching goes through the ordinary clients of the two
registries, ``pip download`` and ``apt-get download``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

LINUX_PACKAGE: Final = "linux-source-6.1"
LINUX_KNOWN: Final = {"6.1.192-2": "4d415b3d364834fd818270e88813e90323bbfce4f519a0e6bd4940ddcd7df693"}
"""SHA-256 of the tar.xz inside Debian's package, by its version; others are accepted with a warning."""


@dataclass(frozen=True, slots=True)
class Release:
    """A source distribution on PyPI."""

    requirement: str
    archive: str
    sha256: str


RELEASES: Final = {
    "flask": Release(
        "flask==3.1.0", "flask-3.1.0.tar.gz", "5f873c5184c897c8d9d1b05df1e3d01b14910ce69607a117bd3277098a5836ac"
    ),
    "django": Release(
        "django==5.2.8", "django-5.2.8.tar.gz", "23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f"
    ),
}
NAMES: Final = (*RELEASES, "linux")


@dataclass(frozen=True, slots=True)
class Corpus:
    """An unpacked source tree."""

    name: str
    version: str
    sha256: str
    """of the archive it was unpacked from"""
    path: Path


class CorpusError(Exception):
    """A corpus cannot be had; says what to do."""


def get(name: str, keep: Path) -> Corpus:
    """Return the corpus of that name, one of ``NAMES``, kept under ``keep/corpora`` and fetched if it is not there.

    Raises CorpusError when it cannot be fetched or is not what it should be.
    """
    if name not in NAMES:
        raise CorpusError(f"there is no corpus {name!r}; there are {', '.join(NAMES)}")
    directory = keep.resolve() / "corpora" / name
    note = directory / "corpus.json"
    if note.exists():
        kept = json.loads(note.read_text(encoding="utf-8"))
        return Corpus(kept["name"], kept["version"], kept["sha256"], directory / kept["tree"])
    archives = keep.resolve() / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    version, archive, sha256 = _debian(archives) if name == "linux" else _pypi(RELEASES[name], archives)
    _unpack(archive, directory)
    (tree,) = (path for path in directory.iterdir() if path.is_dir())
    corpus = Corpus(name, version, sha256, tree)
    note.write_text(json.dumps(asdict(corpus) | {"path": None, "tree": tree.name}), encoding="utf-8")
    return corpus


def _pypi(release: Release, archives: Path) -> tuple[str, Path, str]:
    archive = archives / release.archive
    if not archive.exists() or _sha256(archive) != release.sha256:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "download", "--no-deps", "--no-binary", ":all:", "--dest", str(archives), release.requirement])
    found = _sha256(archive)
    if found != release.sha256:
        raise CorpusError(f"{archive.name} has the SHA-256 {found}, it should be {release.sha256}; remove {archive}")
    return release.requirement.partition("==")[2], archive, found


def _debian(archives: Path) -> tuple[str, Path, str]:
    if shutil.which("dpkg-deb") is None:
        raise CorpusError(f"the corpus 'linux' is Debian's {LINUX_PACKAGE}: run this on Debian or in a container of it")
    packages = sorted(archives.glob(f"{LINUX_PACKAGE}_*.deb"))
    if not packages:
        _run(["apt-get", "download", LINUX_PACKAGE], cwd=archives)
        packages = sorted(archives.glob(f"{LINUX_PACKAGE}_*.deb"))
    version = _run(["dpkg-deb", "--field", str(packages[-1]), "Version"]).strip()
    content = archives / "linux-content"
    _run(["dpkg-deb", "--extract", str(packages[-1]), str(content)])
    archive = archives / f"{LINUX_PACKAGE}_{version}.tar.xz"
    (content / "usr" / "src" / f"{LINUX_PACKAGE}.tar.xz").replace(archive)
    shutil.rmtree(content)
    found = _sha256(archive)
    expected = LINUX_KNOWN.get(version)
    if expected is None:
        print(f"warning: {LINUX_PACKAGE} is {version} ({found}); figures so far are of {list(LINUX_KNOWN)}")
    elif found != expected:
        raise CorpusError(f"{archive.name} has the SHA-256 {found}, it should be {expected}; remove {archives}")
    return version, archive, found


def _unpack(archive: Path, directory: Path) -> None:
    if archive.suffix == ".xz":  # the program is many times faster at a million blocks than the module
        _run(["tar", "-xf", str(archive), "-C", str(directory)])
        return
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")


def _sha256(path: Path) -> str:
    if not path.exists():
        return "(none)"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CorpusError(f"{' '.join(command)!r} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
