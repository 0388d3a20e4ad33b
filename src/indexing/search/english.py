"""The little English that searching code needs: words that say nothing, other forms of those that do, abbreviations."""

from __future__ import annotations

from typing import Final

_STOP_WORDS: Final = """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing done down during each every few for from further get gets give given had has have
    having he her here his how i if in into is it its itself just like made make makes many may me might more most must
    my need needs no nor not of off on once one only or other our out over own per s same see shall she should show so
    some such than that the their them then there these they this those through to too under until up upon us use used
    uses using very via want was way we were what when where whether which while who whom why will with within without
    work works would you your
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())

VARIANT_WEIGHT: Final = 0.5
"""What another form of a word counts, beside the word as written."""

_ABBREVIATIONS: Final = """
    address addr
    administrator admin
    allocate alloc
    application app
    argument arg
    array arr
    asynchronous async
    attribute attr
    authentication auth
    authorization auth
    buffer buf
    character char
    command cmd
    configuration config conf cfg
    connection conn
    context ctx
    control ctrl
    current cur
    database db
    declaration decl
    define def
    delete del
    descriptor desc
    destination dest dst
    device dev
    dictionary dict
    directory dir
    documentation docs doc
    driver drv
    element elem
    environment env
    error err
    exception exc
    execute exec
    expression expr
    function func fn
    generate gen
    image img
    implementation impl
    index idx
    information info
    initialize init
    integer int
    interface iface
    iterator iter
    length len
    library lib
    maximum max
    memory mem
    message msg
    minimum min
    network net
    number num
    object obj
    operation op
    package pkg
    parameter param
    pointer ptr
    previous prev
    process proc
    property prop
    reference ref
    register reg
    regular reg
    repository repo
    request req
    response resp res
    sequence seq
    socket sock
    source src
    specification spec
    statistics stats
    string str
    structure struct
    synchronize sync
    synchronous sync
    temporary tmp temp
    utility util utils
    value val
    variable var
    vector vec
    websocket ws
    window win
"""

_VOWELS: Final = frozenset("aeiou")
_SHORTEST_STEM: Final = 3
_SUFFIXES: Final = (
    ("izations", ("ize",)),
    ("ization", ("ize",)),
    ("ations", ("ate", "e", "")),
    ("ation", ("ate", "e", "")),
    ("itions", ("e", "it")),
    ("ition", ("e", "it")),
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
    ("sses", ("ss",)),
    ("ches", ("ch",)),
    ("shes", ("sh",)),
    ("xes", ("x",)),
    ("ss", ()),
    ("us", ()),
    ("is", ()),
    ("s", ("",)),
)
_DOUBLING: Final = frozenset({"ing", "ings", "ed", "er", "ers"})


def variants(word: str) -> dict[str, float]:
    """Other forms of a lower-case English word, and what programmers shorten it to or mean by it, with weights.

    ``routes``, ``routing`` and ``router`` for ``route``; ``ctx`` for ``context`` and back. The rules are a few
    suffixes, so some forms are no words; those are found nowhere.
    """
    if not (word.isascii() and word.isalpha()):
        return {}
    stems = _stems(word)
    forms = {form for stem in stems for form in _forms(stem)}
    for each in (word, *stems):
        forms.update(_SHORT_AND_LONG.get(each, ()))
    forms.discard(word)
    return dict.fromkeys(sorted(forms), VARIANT_WEIGHT)


def _stems(word: str) -> set[str]:
    """What the word may be a form of: itself, unless a suffix says otherwise."""
    for suffix, replacements in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            base = word[: -len(suffix)]
            if suffix in _DOUBLING and len(base) > _SHORTEST_STEM and base[-1] == base[-2] and base[-1] not in "lsz":
                return {base[:-1]}
            return {base + each for each in replacements} or {word}
    return {word} if len(word) > _SHORTEST_STEM else set()


def _forms(stem: str) -> set[str]:
    if stem.endswith("e"):
        short = stem[:-1]
        forms = {stem, stem + "s", stem + "d", short + "ing", stem + "r"}
        if short.endswith("iz"):
            forms |= {short + "ation", short + "er"}
        elif short.endswith("at"):
            forms |= {short + "ion", short + "or"}
        return forms
    if stem.endswith("y") and stem[-2] not in _VOWELS:
        return {stem, stem[:-1] + "ies", stem[:-1] + "ied", stem + "ing"}
    if stem.endswith(("s", "x", "ch", "sh", "z")):
        return {stem, stem + "es", stem + "ed", stem + "ing", stem + "er", stem + "ion"}
    forms = {stem, stem + "s", stem + "ed", stem + "ing", stem + "er"}
    if stem.endswith("t"):
        forms |= {stem + "ion", stem + "or"}
    return forms


def _both_ways() -> dict[str, tuple[str, ...]]:
    table: dict[str, set[str]] = {}
    for line in _ABBREVIATIONS.split("\n"):
        long, *shorts = line.split() or [""]
        for short in shorts:
            table.setdefault(long, set()).add(short)
            table.setdefault(short, set()).add(long)
    return {word: tuple(sorted(others)) for word, others in table.items()}


_SHORT_AND_LONG: Final = _both_ways()
