from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embeddings import ResolvedModel, open_encoder


async def test_minilm_equals_the_plain_computation_of_its_model_card(
    minilm: ResolvedModel, pieces: Callable[[int, int, int], list[str]]
) -> None:
    import torch
    from torch.nn import functional
    from transformers import AutoModel, AutoTokenizer

    texts = ["How is the watermark read?", *pieces(6, 1, 700)]
    encoder = open_encoder(minilm, threads=2)
    try:
        vectors = await encoder.encode(texts, "document")
    finally:
        await encoder.aclose()

    tokenizer = AutoTokenizer.from_pretrained(minilm.path)
    model = AutoModel.from_pretrained(minilm.path)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    lengths = batch["attention_mask"].sum(dim=1)
    assert 128 < int(lengths.max()) < 256
    with torch.no_grad():
        states = model(**batch)[0]
    mask = batch["attention_mask"].unsqueeze(-1).float()
    expected = functional.normalize((states * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


async def test_minilm_finds_the_text_that_answers_a_question(minilm: ResolvedModel) -> None:
    encoder = open_encoder(minilm, threads=2)
    try:
        (query,) = await encoder.encode(["read a file's lines"], "query")
        documents = await encoder.encode(
            ["def add(a, b):\n    return a + b", "with open(path) as file:\n    lines = file.readlines()"], "document"
        )
    finally:
        await encoder.aclose()
    assert int((documents @ query).argmax()) == 1
