"""Looks for credentials in the content of a file, fast enough to be run on every file.

Nearly all text is dismissed by one `bytes.translate` and substring searches; only runs of sixteen and more letters
and digits are looked at closely. What is found is named by its kind: no part of a secret leaves this module.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

_KEY_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = b"PRIVATE KEY"
_MIN_KEY_BYTES: Final = 64
_RUN_BYTES: Final = 16
_RUN = b"a" * _RUN_BYTES
_LETTERS_AND_DIGITS = bytes(97 if chr(char).isascii() and chr(char).isalnum() else 32 for char in range(256))
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_.~-]{1,512}")
_KNOWN: Final = (
    ("an AWS access key id", re.compile(rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])")),
    ("a GitHub token", re.compile(rb"(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})")),
    ("a GitLab token", re.compile(rb"gl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20}")),
    ("a Slack token", re.compile(rb"xox[abeoprs]-(?:\d+-)+[A-Za-z0-9-]{10,}")),
    ("a Stripe key", re.compile(rb"(?:sk|rk)_live_[A-Za-z0-9]{20,}")),
    ("a Google API key", re.compile(rb"AIza[A-Za-z0-9_-]{35}")),
    ("an npm token", re.compile(rb"npm_[A-Za-z0-9]{36}")),
    ("a PyPI token", re.compile(rb"pypi-AgE[A-Za-z0-9_-]{40,}")),
    ("a Hugging Face token", re.compile(rb"hf_[A-Za-z0-9]{34}")),
    ("an API key of a model provider", re.compile(rb"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}")),
    ("a SendGrid key", re.compile(rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
)
_NAMED = re.compile(
    rb"(?i)(?:api_?key|access_?key|secret|token|passw(?:or)?d|passwd|credential|private_?key|auth)[a-z0-9_]{0,30}"
    rb"[\"']?\s{0,4}(?::|=|=>|:=)\s{0,4}[\"'`]?$"
)
_AWS = (b"AKIA", b"ASIA", b"ABIA", b"ACCA")
_CONTEXT_BYTES: Final = 80
_JOINERS = bytes(char for char in range(33, 127) if chr(char).isalnum() or chr(char) in "+/_.-~")
_HEX = re.compile(rb"[0-9a-fA-F]{32,}")
_MIN_HEX_BITS: Final = 3.0
_MIN_BASE64_BITS: Final = 4.0
"""Shannon entropy per character; detect-secrets uses 3.0 and 4.5, of which the latter misses 32 random characters."""
_MAX_CANDIDATES: Final = 2_000
"""A file with more runs of letters and digits than this is a table of data, and is not looked at further."""


def is_mainly_a_key(data: bytes) -> bool:
    """Whether more than half of a file is private key blocks (PEM, OpenSSH, PGP)."""
    if b"PRIVATE KEY" not in data:
        return False
    size = at = 0
    while begin := _KEY_BEGIN.search(data, at):
        end = data.find(_KEY_END, begin.end())
        at = len(data) if end < 0 else end
        size += at - begin.start()
    return 2 * size > len(data)


def find_secret(data: bytes) -> str:
    """What kind of credential the content seems to hold, in words; empty if none."""
    if b"PRIVATE KEY" in data and _holds_key_material(data):
        return "holds a private key block"
    runs = data.translate(_LETTERS_AND_DIGITS)
    at = candidates = 0
    while candidates < _MAX_CANDIDATES:
        found = runs.find(_RUN, at)
        if found < 0:
            return ""
        end = runs.find(b" ", found)
        at = end if end >= 0 else len(runs)
        run = data[found:at]
        if run.isdigit() or (run.isalpha() and not run.startswith(_AWS)):
            continue
        candidates += 1
        kind = _kind(data, found, at)
        if kind:
            return f"seems to hold {kind}"
    return ""


def _holds_key_material(data: bytes) -> bool:
    begin = _KEY_BEGIN.search(data)
    if begin is None:
        return False
    body = data[begin.end() : begin.end() + 2 * _MIN_KEY_BYTES]
    return len(body.translate(_LETTERS_AND_DIGITS).replace(b" ", b"")) >= _MIN_KEY_BYTES


def _kind(data: bytes, start: int, end: int) -> str:
    """What the run of letters and digits at ``data[start:end]`` is part of; empty for nothing suspicious."""
    before = data[max(0, start - _CONTEXT_BYTES) : start]
    joined = len(before) - len(before.rstrip(_JOINERS))
    token_start = start - joined
    line = data[max(0, token_start - _CONTEXT_BYTES) : end + _CONTEXT_BYTES]
    return next((kind for kind, pattern in _KNOWN if pattern.search(line)), "") or _assigned(data, token_start)


def _assigned(data: bytes, start: int) -> str:
    """A value of high entropy that is given to something with the name of a secret, on one line."""
    before = data[max(0, start - _CONTEXT_BYTES) : start].rpartition(b"\n")[2]
    if not _NAMED.search(before):
        return ""
    match = _TOKEN.match(data, start)
    token = match.group() if match else b""
    if not any(char in b"0123456789" for char in token):
        return ""
    least = _MIN_HEX_BITS if _HEX.fullmatch(token) else _MIN_BASE64_BITS
    return "a random value assigned to a name of a secret" if _entropy(token) >= least else ""


def _entropy(token: bytes) -> float:
    """Shannon entropy of the bytes, bits per byte."""
    return -sum(n / len(token) * math.log2(n / len(token)) for n in Counter(token).values())
