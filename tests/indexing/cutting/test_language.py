"""Which language a file is in."""

from __future__ import annotations

import pytest

from indexing.cutting import cutter_version, language_of, languages
from indexing.cutting.grammars import grammar
from indexing.cutting.language_tables import EXTENSIONS


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        (b"a/b.py", b"", "python"),
        (b"a/b.PY", b"", "python"),
        (b"x.tar.d.ts", b"", "typescript"),
        (b"x.tsx", b"", "tsx"),
        (b"x.C", b"", "cpp"),
        (b"boot.S", b"", "asm"),
        (b"vmlinux.lds.S", b"", "linkerscript"),
        (b"Makefile", b"", "make"),
        (b"CMakeLists.txt", b"", "cmake"),
        (b"requirements.txt", b"", "requirements"),
        (b"notes.txt", b"plain words\n", "text"),
        (b"topic.txt", b"Title\n=====\n\n.. module:: x\n", "rst"),
        (b"config.h.in", b"#undef X\n", "c"),
        (b"a.ipynb", b"", "jupyter"),
        (b"README.md", b"", "markdown"),
        (b"caf\xe9.rb", b"", "ruby"),
        (b"tool", b"#!/usr/bin/env -S python3.11 -u\n", "python"),
        (b"tool", b"#! /bin/sh\n", "bash"),
        (b"tool", b"#!/usr/bin/env node\n", "javascript"),
        (b"tool", b"/* -*- mode: c++; tab-width: 4 -*- */\n", "cpp"),
        (b"tool", b"# vim: set ts=4 ft=ruby:\n", "ruby"),
        (b"tool", b"<?xml version='1.0'?>\n", "xml"),
        (b"unknown.zzz", b"anything", "text"),
        (b"a.h", b"struct a { int b; };\n", "c"),
        (b"a.h", b"/* class x { of things */\nint a;\n", "c"),
        (b"a.h", b"namespace a { }\n", "cpp"),
        (b"a.h", b"class A : public B {\n", "cpp"),
        (b"a.h", b"#include <vector>\n", "cpp"),
        (b"a.h", b"#import <Cocoa/Cocoa.h>\n@interface A\n", "objc"),
        (b"a.m", b"function y = f(x)\n% doc\n", "matlab"),
        (b"a.m", b"@implementation A\n", "objc"),
        (b"a.v", b"module adder(input a);\n", "verilog"),
        (b"a.v", b"fn main() {}\n", "v"),
        (b"de.ts", b"<?xml version='1.0'?><TS>", "xml"),
    ],
)
def test_a_file_is_in_the_language_that_its_name_and_head_tell(path: bytes, head: bytes, language: str) -> None:
    assert language_of(path, head) == language


_CPP_LINES = [
    *(
        "class A {",
        "class A : B {",
        "namespace a {",
        "namespace {",
        "template <int>",
        "template<class T>",
        "using a::b;",
    ),
    *("public:", "private :", "protected:", "std::string a;", "constexpr int a = 1;", "int a() noexcept;"),
    *("virtual void a();", "bool operator==(a, b);", "void operator ()();"),
    *(f"#include <{name}>" for name in ("string", "vector", "memory", "map", "iostream", "utility", "cstdint")),
    *(f"# include <{name}>" for name in ("cstddef", "algorithm", "functional", "type_traits")),
]


@pytest.mark.parametrize("line", _CPP_LINES)
def test_each_sign_of_cpp_in_a_header_is_seen_by_itself_and_not_in_a_comment(line: str) -> None:
    assert language_of(b"a.h", f"int a;\n{line}\n".encode()) == "cpp"
    assert language_of(b"a.h", f"int a; /* {line} */\n// {line}\n".encode()) == "c"
    assert language_of(b"a.h", f"#ifdef __KERNEL__\n{line}\n".encode()) == "c"


@pytest.mark.parametrize("line", ["@interface A", "@end", "@import Foundation;", "#import <a.h>", "# import <a.h>"])
def test_each_sign_of_objective_c_in_a_header_is_seen_by_itself(line: str) -> None:
    assert language_of(b"a.h", f"int a;\n{line}\n".encode()) == "objc"


def test_a_hundred_extensions_are_known() -> None:
    assert len(EXTENSIONS) >= 100


def test_every_grammar_loads_and_its_query_compiles() -> None:
    assert len(languages()) >= 40
    assert "cobol" not in languages()
    for language in languages():
        assert grammar(language).parser is not None


def test_languages_without_a_grammar_are_cut_in_another_way() -> None:
    versions = [cutter_version(language) for language in ("python", "markdown", "jupyter", "json", "text", "cobol")]
    assert versions == ["syntax-2", "headings-1", "cells-1", "windows-1", "windows-1", "windows-1"]
