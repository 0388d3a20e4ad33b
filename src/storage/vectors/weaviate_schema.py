"""How a collection of ours looks as a class in Weaviate: its name, its schema, and whether what is there is that.

Names: a class begins with a capital letter and holds letters, digits and underscores alone, so ``codetrove_1a_x`` is
``Trove_codetrove__1a__x_v1``: ``__`` is an underscore, ``_d`` a dash, ``_p`` a point, and ``_vN`` the schema's version.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    ReplicationDeletionStrategy,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)

from storage.errors import DimensionMismatch, VectorsRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.vectors.records import CollectionSpec
    from storage.vectors.weaviate_options import WeaviateOptions

SCHEMA_VERSION: Final = 1
_PREFIX: Final = "Trove_"
_SUFFIX: Final = f"_v{SCHEMA_VERSION}"
_ESCAPES: Final = {"_": "__", "-": "_d", ".": "_p"}
_UNESCAPED: Final = {escape: character for character, escape in _ESCAPES.items()}

TEXTS: Final = ("repository", "language", "path", "symbol", "kind", "text")
NUMBERS: Final = ("start_line", "end_line")
FILTERED: Final = frozenset({"repository", "language"})
"""What searches are narrowed by; nothing else is indexed there."""


def class_of(name: str) -> str:
    """Return the class of a collection of this name and the present schema version."""
    return _PREFIX + "".join(_ESCAPES.get(character, character) for character in name) + _SUFFIX


def name_of(class_name: str) -> str | None:
    """Return the collection that a class is of; None for one that is not ours, or of another schema version."""
    if not (class_name.startswith(_PREFIX) and class_name.endswith(_SUFFIX)):
        return None
    escaped = class_name[len(_PREFIX) : -len(_SUFFIX)]
    found = re.sub(r"_(?:_|d|p)", lambda match: _UNESCAPED[match[0]], escaped)
    return found if class_of(found) == class_name else None


def alias_of(prefix: str) -> str:
    """Return the alias under which people and other programs find the serving collection of an installation."""
    return re.sub(r"[^A-Za-z0-9]+", "_", prefix).strip("_").capitalize()


def creation_of(spec: CollectionSpec, options: WeaviateOptions) -> dict[str, Any]:
    """Return the arguments of ``collections.create``."""
    index: Callable[..., Any] = getattr(Configure.VectorIndex, options.index)
    return {
        "name": class_of(spec.name),
        "description": json.dumps({"codetrove": {"collection": spec.name, "dimension": spec.dimension}}),
        "vector_config": Configure.Vectors.self_provided(
            quantizer=_quantizer(options.quantizer),
            vector_index_config=index(distance_metric=VectorDistances.COSINE),
        ),
        "properties": [_text_property(name) for name in TEXTS]
        + [Property(name=name, data_type=DataType.INT, index_filterable=False) for name in NUMBERS],
        "inverted_index_config": Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
        "replication_config": Configure.replication(
            factor=options.replication_factor,
            # A node that was away learns what it missed, deletions included, by their times.
            async_enabled=options.replication_factor > 1,
            deletion_strategy=ReplicationDeletionStrategy.TIME_BASED_RESOLUTION,
        ),
    }


def check_schema(found: dict[str, Any], spec: CollectionSpec, options: WeaviateOptions) -> None:
    """Hold a class that is there (``config.get().to_dict()``) against the one that is wanted.

    Raises ``DimensionMismatch``, or ``VectorsRefused`` naming each difference.
    """
    dimension = _dimension(found.get("description"))
    if dimension is not None and dimension != spec.dimension:
        raise DimensionMismatch(f"the collection {spec.name!r} has {dimension} dimensions, not {spec.dimension}")
    there = _facts(found)
    differences = [
        f"{what} is {there.get(what, 'missing')!r} instead of {wanted!r}"
        for what, wanted in _wanted(options).items()
        if there.get(what) != wanted
    ]
    if dimension is None:
        differences.append("its description does not say how many dimensions it has")
    if differences:
        raise VectorsRefused(
            f"the class {class_of(spec.name)!r} in Weaviate is not as codetrove made it: {'; '.join(differences)}. "
            "Nothing is written to it; undo the change, or delete the class and it is made and filled anew"
        )


def _wanted(options: WeaviateOptions) -> dict[str, object]:
    facts: dict[str, object] = {
        "index": options.index,
        "distance": "cosine",
        "quantizer": options.quantizer,
        "replication factor": options.replication_factor,
    }
    for name in TEXTS:
        facts[f"property {name}"] = ("text", "field" if name != "text" else "word", name in FILTERED, False)
    for name in NUMBERS:
        facts[f"property {name}"] = ("int", None, False, False)
    return facts


def _facts(found: dict[str, Any]) -> dict[str, object]:
    (vector,) = list(found.get("vectorConfig", {}).values()) or [{}]
    index = vector.get("vectorIndexConfig", {})
    quantizers = [name for name in ("rq", "sq", "bq", "pq") if (index.get(name) or {}).get("enabled")]
    facts: dict[str, object] = {
        "index": vector.get("vectorIndexType"),
        "distance": index.get("distanceMetric"),
        "quantizer": quantizers[0] if quantizers else "none",
        "replication factor": found.get("replicationConfig", {}).get("factor"),
    }
    for each in found.get("properties", ()):
        facts[f"property {each['name']}"] = (
            each["dataType"][0],
            each.get("tokenization"),
            each.get("indexFilterable"),
            each.get("indexSearchable"),
        )
    return facts


def _dimension(description: object) -> int | None:
    try:
        return int(json.loads(str(description))["codetrove"]["dimension"])
    except (ValueError, KeyError, TypeError):
        return None


def _text_property(name: str) -> Property:
    return Property(
        name=name,
        data_type=DataType.TEXT,
        tokenization=Tokenization.WORD if name == "text" else Tokenization.FIELD,
        index_filterable=name in FILTERED,
        index_searchable=False,
    )


def _quantizer(name: str) -> Any:
    make: Callable[[], Any] = getattr(Configure.VectorIndex.Quantizer, name)
    return make()
