"""From the bytes of a file to its text: byte order marks, UTF-8, UTF-16, old one-byte and East Asian encodings."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from indexing.cutting.notebook import read_notebook

if TYPE_CHECKING:
    from storage import Section

EXTRACTOR_VERSION: Final = 1

_SAMPLE_BYTES = 8192
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LEGACY_ENCODINGS = [
    "cp1252",
    "cp1251",
    "koi8_r",
    "cp1250",
    "shift_jis",
    "euc_jp",
    "gb18030",
    "big5",
    "euc_kr",
    "cp1253",
    "cp1254",
]
_CYRILLIC = ("cp1251", "koi8_r")


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file, as it is stored, cut and shown."""

    text: bytes
    """UTF-8, without a byte order mark, newlines as they were"""
    encoding: str
    """what the file was decoded as, by Python's name of the codec"""
    replaced: bool
    """whether some bytes could not be decoded and became U+FFFD"""
    sections: tuple[Section, ...] = ()
    """the cells of a notebook; empty for anything else"""


def extract(data: bytes, language: str) -> Extracted:
    """Decodes the bytes of a file; never fails: what fits no encoding is replaced and flagged.

    A notebook (language ``jupyter``) becomes the sources of its cells; a damaged one stays the JSON that it is.
    """
    text, encoding, replaced = _decode(data)
    if language == "jupyter":
        notebook = read_notebook(text)
        if notebook is not None:
            return Extracted(notebook.text, encoding, replaced or notebook.replaced, notebook.sections)
    return Extracted(text, encoding, replaced)


def _decode(data: bytes) -> tuple[bytes, str, bool]:
    for bom, encoding in _BOMS:
        if data.startswith(bom) and not (encoding == "utf-32-le" and len(data) % 4):
            return _recode(data[len(bom) :], encoding)
    if b"\0" in data[:_SAMPLE_BYTES] and (wide := _unmarked_utf16(data[:_SAMPLE_BYTES])):
        return _recode(data, wide)
    return _recode(data, "utf-8")


def _recode(data: bytes, encoding: str) -> tuple[bytes, str, bool]:
    """The data as UTF-8, the encoding in fact used, and whether bytes were replaced."""
    if encoding == "utf-8" and data.isascii():
        return data, encoding, False
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and (legacy := _legacy_encoding(data, error.start)):
            return data.decode(legacy).encode(), legacy, False
        return data.decode(encoding, "replace").encode("utf-8", "replace"), encoding, True
    return (data, encoding, False) if encoding == "utf-8" else (text.encode(), encoding, False)


def _unmarked_utf16(sample: bytes) -> str | None:
    """UTF-16 by the zero bytes of its ASCII characters: nearly all of them on the same side of each pair."""
    pairs = len(sample) // 2
    even, odd = sample[: pairs * 2 : 2].count(0), sample[1 : pairs * 2 : 2].count(0)
    if odd > pairs * 0.4 and even < pairs * 0.05:
        return "utf-16-le"
    if even > pairs * 0.4 and odd < pairs * 0.05:
        return "utf-16-be"
    return None


def _legacy_encoding(data: bytes, bad: int) -> str | None:
    """Guesses the encoding of text that is not UTF-8 from a sample around its first bad byte; None when unsure."""
    sample = data[max(0, bad - _SAMPLE_BYTES // 2) : bad + _SAMPLE_BYTES]
    if b"\0" in sample or _mostly_utf8(sample):
        return None
    encoding = "cp1252" if _isolated_accents(sample) else _detected(sample)
    for candidate in (encoding, "latin-1" if encoding == "cp1252" else None):
        if candidate is not None and _decodes(data, candidate):
            return candidate
    return None


def _mostly_utf8(sample: bytes) -> bool:
    """Whether there are at least as many whole multi-byte characters as bytes that belong to none."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    wide = sum(character > "\x7f" for character in text) - bad
    return wide >= bad


def _isolated_accents(sample: bytes) -> bool:
    """Whether high bytes are rare, alone, and accented letters in Latin-1 or the signs of Windows' superset of it."""
    high = [at for at, byte in enumerate(sample) if byte >= 0x80]
    adjacent = sum(later - at == 1 for at, later in pairwise(high))
    letters = sum(
        sample[at] >= 0xC0 or sample[at] in b"\x91\x92\x93\x94\x96\x97\xa0\xa7\xa9\xae\xb0\xb5" for at in high
    )
    return len(high) * 8 <= len(sample) and adjacent * 6 <= len(high) and letters * 10 >= len(high) * 9


def _detected(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes  # noqa: PLC0415  (slow to import, and hardly any file needs it)

    best = from_bytes(sample, cp_isolation=_LEGACY_ENCODINGS, steps=4, chunk_size=512).best()
    if best is None:
        return None
    # The two Cyrillic encodings have the same letters at swapped cases: text is mostly in small ones.
    if best.encoding in _CYRILLIC:
        return max(_CYRILLIC, key=lambda encoding: sum(map(str.islower, sample.decode(encoding, "ignore"))))
    return best.encoding


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
