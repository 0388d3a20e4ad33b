"""The layout of the text index: its fields and their tokenizers.

Every change here needs a new ``TEXT_SCHEMA_VERSION``.
"""

from __future__ import annotations

from functools import cache

import tantivy

from storage.text.records import TextField

MAX_TOKEN_BYTES = 80
"""Longer tokens are no identifiers that anyone types, but base64 and the like."""

WORD = r"[\p{L}\p{M}\p{N}_]+"
"""A whole identifier, word or number of any script."""

TOKENIZERS: dict[TextField, str] = {"code": "word", "parts": "part", "symbol": "name", "scope": "word"}


@cache
def schema() -> tantivy.Schema:
    """The fields.

    Positions are not kept (no phrase queries: a third of the disk), and nothing is stored but the watermark.
    """
    builder = tantivy.SchemaBuilder()
    for field, tokenizer in TOKENIZERS.items():
        builder.add_text_field(field, tokenizer_name=tokenizer, index_option="freq")
    for exact in ("repository", "language", "kind"):
        builder.add_text_field(exact, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("chunk_id", indexed=True, fast=True)
    builder.add_unsigned_field("cut_id", indexed=True, fast=True)
    builder.add_unsigned_field("mark", indexed=True, fast=True)
    builder.add_bytes_field("watermark", stored=True)
    return builder.build()


_ASCII_WORDS = bytes(ord(chr(code).lower()) if chr(code).isalnum() or code == 0x5F else 0x20 for code in range(128))
_ASCII_WORDS += bytes(range(128, 256))


def words_of_code(code: bytes) -> str:
    """The words of a UTF-8 text in lower case, separated by single spaces or more.

    The same words that the analyzer ``word`` finds. tantivy's tokenizer by regular expression takes three times as
    long as everything else it does for a chunk; only words of letters that are attached to signs beyond ASCII need it.
    """
    spaced = code.translate(_ASCII_WORDS)
    if spaced.isascii():
        return spaced.decode("ascii")
    # Python alone has another small sigma for the end of a word.
    words = spaced.decode().replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower().split()
    plain = [word for word in words if word.isascii() or word.isalnum()]
    if len(plain) < len(words):
        attached = " ".join([word for word in words if not (word.isascii() or word.isalnum())])
        plain += analyzer("word").analyze(attached)
    return " ".join(plain)


@cache
def analyzer(name: str) -> tantivy.TextAnalyzer:
    """The tokenizer of that name, one of the values of ``TOKENIZERS``."""
    tokenizer = {
        "word": tantivy.Tokenizer.regex(WORD),
        "part": tantivy.Tokenizer.whitespace(),
        "name": tantivy.Tokenizer.raw(),
    }[name]
    return (
        tantivy.TextAnalyzerBuilder(tokenizer)
        .filter(tantivy.Filter.remove_long(MAX_TOKEN_BYTES))
        .filter(tantivy.Filter.lowercase())
        .build()
    )


def register_tokenizers(index: tantivy.Index) -> None:
    """Make the tokenizers known to an opened index; they are not kept on disk.

    What is added under ``word`` went through ``words_of_code``: only its spaces are left to be found.
    """
    for name in sorted(set(TOKENIZERS.values())):
        index.register_tokenizer(name, _SPACED if name == "word" else analyzer(name))


_SPACED = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    .filter(tantivy.Filter.remove_long(MAX_TOKEN_BYTES))
    .build()
)
