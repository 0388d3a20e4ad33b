"""The little English that searching code needs: words that say nothing, and other forms of those that do."""

from __future__ import annotations

from typing import Final

STOP_WORDS: Final = frozenset(
    "a about above after again all also am an and any are as at be because been before being below between both but by"
    " can could did do does doing done down during each every few for from further get gets give given had has have"
    " having he her here his how i if in into is it its itself just like made make makes many may me might more most"
    " must my need needs no nor not of off on once one only or other our out over own per s same see shall she should"
    " show so some such than that the their them then there these they this those through to too under until up upon"
    " us use used uses using very via want was way we were what when where whether which while who whom why will with"
    " within without work works would you your".split()
)

VARIANT_WEIGHT: Final = 0.5
"""What another form of a word counts, beside the word as written."""

_SHORTEST_STEM = 3


def variants(word: str) -> dict[str, float]:
    """Other English forms of a lower-case word (``routes``, ``routing`` and ``router`` for ``route``), with weights.

    Some of them are no words; those are found nowhere and cost nothing.
    """
    if len(word) < _SHORTEST_STEM + 1 or not (word.isascii() and word.isalpha()):
        return {}
    forms: set[str] = set()
    for stem in _stems(word):
        forms.update(_forms(stem))
    forms.discard(word)
    return dict.fromkeys(sorted(forms), VARIANT_WEIGHT)


def _stems(word: str) -> set[str]:
    stems = {word}
    for suffix, replacements in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            base = word[: -len(suffix)]
            stems.update(base + each for each in replacements)
            if suffix in _DOUBLING and len(base) > _SHORTEST_STEM and base[-1] == base[-2]:
                stems.add(base[:-1])
            break
    return stems


def _forms(stem: str) -> set[str]:
    if stem.endswith("e"):
        short = stem[:-1]
        return {stem, stem + "s", stem + "d", short + "ing", stem + "r", short + "ion"}
    if stem.endswith("y") and stem[-2] not in "aeiou":
        short = stem[:-1]
        return {stem, short + "ies", short + "ied", stem + "ing", short + "ier"}
    forms = {stem, stem + "s", stem + "ed", stem + "ing", stem + "er"}
    if stem.endswith(("s", "x", "ch", "sh", "z")):
        forms.add(stem + "es")
    if stem.endswith("t"):
        forms.add(stem + "ion")
    return forms


_DOUBLING = frozenset({"ing", "ed", "er"})
_SUFFIXES: Final = (
    ("ations", ("ate", "e", "")),
    ("ation", ("ate", "e", "")),
    ("ions", ("", "e")),
    ("ion", ("", "e")),
    ("ings", ("", "e")),
    ("ing", ("", "e")),
    ("ies", ("y",)),
    ("ied", ("y",)),
    ("ers", ("", "e")),
    ("ors", ("", "e")),
    ("er", ("", "e")),
    ("or", ("", "e")),
    ("ed", ("", "e")),
    ("es", ("", "e")),
    ("s", ("",)),
)
