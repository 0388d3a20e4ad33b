"""What names alone say of files."""

from __future__ import annotations

import pytest

from indexing.sources import Rules, classify

AUTO = Rules()


@pytest.mark.parametrize(
    "path",
    b".env .env.production prod.env app/.env id_rsa deploy/id_ed25519 server.pem tls/x.key a.p12 credentials.json"
    b" .netrc .npmrc .pypirc ID_RSA infra/prod.tfstate .git-credentials".split(),
)  # fmt: skip
def test_f095_names_of_secrets_are_skipped_even_when_git_tracks_them(path: bytes) -> None:
    assert classify(path, AUTO, tracked=True).skip == "secret"
    assert classify(path, AUTO, tracked=False).skip == "secret"
    assert "suspected_secret" in classify(path, Rules(secrets="index"), tracked=True).flags


@pytest.mark.parametrize(
    "path", b".env.example .env.sample app/.env.template id_rsa.pub keys.py environment.py a.env.ts".split()
)
def test_f095_samples_and_similar_names_are_no_secrets(path: bytes) -> None:
    assert classify(path, AUTO, tracked=False).skip is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"node_modules/x/index.js", "vendored"),
        (b"a/vendor/b.go", "vendored"),
        (b"Pods/x.m", "vendored"),
        (b"a/__pycache__/b.py", "generated"),
        (b"package-lock.json", "generated"),
        (b"api/v1_pb2.py", "generated"),
        (b"api/v1.pb.go", "generated"),
        (b"app.js.map", "generated"),
        (b".idea/workspace.xml", "hidden"),
        (b".bashrc", "hidden"),
    ],
)
def test_auto_skips_what_is_not_tracked_and_flags_what_is(path: bytes, reason: str) -> None:
    assert classify(path, AUTO, tracked=False).skip == reason
    tracked = classify(path, AUTO, tracked=True)
    assert tracked.skip is None
    assert tracked.flags == (frozenset() if reason == "hidden" else {reason})


def test_policies_skip_or_index_whatever_git_says() -> None:
    skipping = Rules(vendored="skip", generated="skip", hidden="skip")
    indexing = Rules(vendored="index", generated="index", hidden="index", minified="index")
    for path in (b"vendor/a.go", b"yarn.lock", b".bashrc"):
        assert classify(path, skipping, tracked=True).skip is not None
        assert classify(path, indexing, tracked=False).skip is None
    assert classify(b"a.min.js", AUTO, tracked=True).skip == "minified"
    assert classify(b"a.min.js", indexing, tracked=False).skip is None


@pytest.mark.parametrize("path", b"a.png lib/x.so x.PYC font.woff2 a.zip".split())
def test_binary_formats_are_skipped_by_extension(path: bytes) -> None:
    assert classify(path, AUTO, tracked=True).skip == "binary"


@pytest.mark.parametrize(
    "path",
    b"tests/a.py src/test_a.py a_test.go x.spec.ts src/test/java/A.java FooTest.java conftest.py"
    b" tools/selftests/a.c".split(),
)  # fmt: skip
def test_test_files_are_flagged(path: bytes) -> None:
    assert classify(path, AUTO, tracked=False).flags == {"test"}


@pytest.mark.parametrize(
    "path",
    b"latest.java contest.py src/a.py vendor.py drivers/target/core.c build/a.py .github/workflows/ci.yml"
    b" .gitlab-ci.yml a.key.md attest.go x".split(),
)  # fmt: skip
def test_ordinary_files_are_indexed_without_flags(path: bytes) -> None:
    verdict = classify(path, AUTO, tracked=False)
    assert (verdict.skip, verdict.flags) == (None, frozenset())
