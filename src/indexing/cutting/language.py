"""Which language a file is in, by its name, its first line and, for C headers, a look at its head."""

from __future__ import annotations

import re
from typing import Final

from indexing.cutting.language_tables import EXTENSIONS, FILE_NAMES, INTERPRETERS, MODES, TEMPLATE_SUFFIXES

TEXT: Final = "text"

_HEAD_BYTES = 8192
_SHEBANG = re.compile(rb"#![ \t]*(\S+)(?:[ \t]+(?:-\S+[ \t]+|\w+=\S*[ \t]+)*(\S+))?")
_EMACS_MODE = re.compile(rb"-\*-\s*(?:.*?\bmode:\s*)?([\w+#-]+)\s*(?:;.*?)?-\*-", re.IGNORECASE)
_VIM_MODE = re.compile(rb"\b(?:vim?|ex):.*?\b(?:ft|filetype|syntax)=(\w+)")
_VERSION = re.compile(r"[\d.]+$")
_OBJC_SIGN = re.compile(rb"^\s*(?:@(?:interface|protocol|class|end|property|import)\b|#\s*import\b)", re.MULTILINE)
_CPP_HEADERS = (
    *(b"string", b"vector", b"memory", b"map", b"iostream", b"utility"),
    *(b"cstdint", b"cstddef", b"algorithm", b"functional", b"type_traits"),
)
_CPP_SIGN = re.compile(
    rb"^\s*(?:class\s+\w[\w\s]*[:{;]|namespace\b[\s\w:]*\{|template\s*<|using\s+[\w:]+|(?:public|private|protected)\s*:"
    rb"|#\s*include\s*<(?:" + b"|".join(_CPP_HEADERS) + rb")>)"
    rb"|\bstd::|\bconstexpr\b|\bnoexcept\b|\bvirtual\s|\boperator\s*[=<>()\[\]+*-]",
    re.MULTILINE,
)
_CPP_WORDS = (
    *(b"class", b"namespace", b"template", b"using", b"public", b"private", b"protected", b"std::"),
    *(b"constexpr", b"noexcept", b"virtual", b"operator"),
    *(b"<%b>" % name for name in _CPP_HEADERS),
)
"""Each sign has one of them. Looking for them takes a tenth of the time, and most headers have none."""
_MATLAB_SIGN = re.compile(rb"^\s*(?:%|function\b|classdef\b|end\s*$)", re.MULTILINE)
_VERILOG_SIGN = re.compile(rb"^\s*(?:`\w+|(?:module|interface|package)\s+\w+\s*[(#;])|\bendmodule\b", re.MULTILINE)
_RST_SIGN = re.compile(
    rb"^\.\. (?:[\w-]+::|_[^\n:]+:[ \t]*$)|^[^\s][^\n]*\n(?:={4,}|-{4,})\r?\n[^\0]*::\r?\n", re.MULTILINE
)
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


def language_of(path: bytes, head: bytes) -> str:
    """Names the language of a file by its path and its first bytes (8 KiB are enough); ``text`` when nothing tells.

    The whole file name decides first, then the longest known extension, then a shebang or an editor's mode line.
    """
    name = path.rsplit(b"/", 1)[-1].decode("utf-8", "replace")
    lowered = name.lower()
    language = FILE_NAMES.get(name) or FILE_NAMES.get(lowered) or _by_extension(name, lowered)
    head = head[:_HEAD_BYTES]
    if language is None:
        stem, dot, suffix = name.rpartition(".")
        if dot and stem and suffix.lower() in TEMPLATE_SUFFIXES:
            return language_of(stem.encode(), head)
        return _by_head(head) or TEXT
    return _by_content(language, lowered.rpartition(".")[2], head)


def _by_extension(name: str, lowered: str) -> str | None:
    # Upper-case extensions mean something else in a few languages: .C is C++, .S and .R are what .s and .r are.
    at = name.find(".")
    while at != -1:
        language = EXTENSIONS.get(name[at + 1 :]) or EXTENSIONS.get(lowered[at + 1 :])
        if language:
            return language
        at = name.find(".", at + 1)
    return None


def _by_head(head: bytes) -> str | None:
    lines = head.split(b"\n", 5)[:5]
    if lines and (shebang := _SHEBANG.match(lines[0])):
        program = shebang[1].rsplit(b"/", 1)[-1]
        if program == b"env" and shebang[2]:
            program = shebang[2].rsplit(b"/", 1)[-1]
        found = INTERPRETERS.get(_VERSION.sub("", program.decode("ascii", "replace")))
        if found:
            return found
    for line in lines[:5]:
        mode = _EMACS_MODE.search(line[:200]) or _VIM_MODE.search(line[:200])
        if mode and (found := MODES.get(mode[1].decode("ascii", "replace").lower())):
            return found
    if head.startswith(b"<?xml"):
        return "xml"
    if head.startswith(b"<?php"):
        return "php"
    return None


def _by_content(language: str, extension: str, head: bytes) -> str:
    """Decides where one extension serves several languages."""
    if extension == "h":
        return _header_language(head)
    if extension == "m":
        return "matlab" if not _OBJC_SIGN.search(head) and _MATLAB_SIGN.search(head) else "objc"
    if extension == "v":
        return "verilog" if _VERILOG_SIGN.search(head) else "v"
    if language == TEXT and extension == "txt":
        return "rst" if _RST_SIGN.search(head) else TEXT
    if language == "typescript" and head.startswith(b"<?xml"):
        return "xml"
    return language


def _header_language(head: bytes) -> str:
    code = _COMMENT.sub(b" ", head)
    if (b"@" in code or b"import" in code) and _OBJC_SIGN.search(code):
        return "objc"
    # A C header that C++ may include says so in an #ifdef; what stands inside is no sign of C++.
    if b"__KERNEL__" in head or not any(word in code for word in _CPP_WORDS):
        return "c"
    return "cpp" if _CPP_SIGN.search(code) else "c"
