"""Names that say what a file is without looking into it. All of them lower case unless said otherwise."""

from __future__ import annotations

from typing import Final

HIDDEN: Final = 1
VENDORED: Final = 2
GENERATED: Final = 4
TEST: Final = 8
MINIFIED: Final = 16
BINARY: Final = 32
SECRET: Final = 64

VERSION_CONTROL: Final = frozenset({b".git", b".hg", b".svn", b".bzr", b".jj", b".sl", b"_darcs", b"CVS"})
"""Directories that no policy enters (exact case)."""

HIDDEN_WANTED: Final = frozenset(
    b""".github .gitlab .gitlab-ci.yml .circleci .travis.yml .gitignore .gitattributes .gitmodules .dockerignore
    .codetroveignore .editorconfig .pre-commit-config.yaml .readthedocs.yaml .readthedocs.yml .clang-format .clang-tidy
    .rustfmt.toml .golangci.yml .golangci.yaml .rubocop.yml .eslintrc .eslintrc.js .eslintrc.json .eslintrc.yml
    .prettierrc .babelrc .flake8 .pylintrc .coveragerc .cargo .devcontainer .devcontainer.json .env.example .env.sample
    .env.template .env.dist .env.defaults""".split()
)
"""Hidden names that hold what people look for, indexed whether or not git tracks them."""

_VENDORED_DIRECTORIES = b"""node_modules bower_components jspm_packages vendor _vendor third_party third-party
    thirdparty 3rdparty site-packages dist-packages pods carthage godeps elm-stuff""".split()
_GENERATED_DIRECTORIES = b"""__pycache__ .tox .nox .eggs .mypy_cache .pytest_cache .ruff_cache .hypothesis .gradle
    .next .nuxt .parcel-cache .terraform .ipynb_checkpoints htmlcov __snapshots__""".split()
_TEST_DIRECTORIES = b"""test tests __tests__ __mocks__ spec specs testdata test-data testing selftest selftests e2e
    unittests unit_tests integration_tests""".split()
DIRECTORIES: Final = (
    dict.fromkeys(_VENDORED_DIRECTORIES, VENDORED)
    | dict.fromkeys(_GENERATED_DIRECTORIES, GENERATED)
    | dict.fromkeys(_TEST_DIRECTORIES, TEST)
)

_LOCK_FILES = b"""package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb deno.lock
    poetry.lock pipfile.lock uv.lock pdm.lock pixi.lock conda-lock.yml cargo.lock composer.lock gemfile.lock go.sum
    flake.lock
    mix.lock pubspec.lock podfile.lock package.resolved packages.lock.json gradle.lockfile .terraform.lock.hcl elm.lock
    module.bazel.lock""".split()
_GENERATED_FILES = b"y.tab.c y.tab.h lex.yy.c cargo.sum .pnp.js .pnp.cjs .pnp.loader.mjs".split()
_SECRET_FILES = b""".env .envrc id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk credentials.json
    client_secret.json client_secrets.json service-account.json service_account.json .netrc _netrc .npmrc .pypirc
    .pgpass .my.cnf .mylogin.cnf .htpasswd .git-credentials .dockercfg .dockerconfigjson .vault-token .s3cfg .boto
    kubeconfig secrets.yml secrets.yaml secrets.json master.key""".split()
FILES: Final = (
    dict.fromkeys(_LOCK_FILES + _GENERATED_FILES, GENERATED)
    | dict.fromkeys(_SECRET_FILES, SECRET)
    | {b"conftest.py": TEST}
)

_BINARY_EXTENSIONS = b""".png .jpg .jpeg .gif .bmp .ico .icns .webp .avif .heic .tif .tiff .psd .ai .eps .xcf .sketch
    .fig .mp3 .wav .ogg .oga .flac .aac .m4a .wma .mid .midi .mp4 .m4v .mkv .avi .mov .wmv .webm .flv .mpg .mpeg
    .ttf .otf .woff .woff2 .eot .pfb .pcf
    .zip .tar .gz .tgz .bz2 .tbz .xz .txz .zst .lz4 .lzma .7z .rar .cab .iso .dmg .img .deb .rpm .apk .ipa .msi .jar
    .war .ear .aar .whl .egg .gem .nupkg .crx .xpi
    .so .dll .dylib .exe .o .obj .a .lib .ko .elf .pyc .pyo .pyd .class .dex .wasm .rlib .rmeta .pdb .nib .beam .hi .ilk
    .gch .pch .luac .node
    .pdf .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .epub .mobi .pages .numbers
    .db .sqlite .sqlite3 .mdb .accdb .dbf .mo .gmo .npy .npz .pkl .pickle .parquet .feather .arrow .orc .avro .h5 .hdf5
    .rdb .frm .ibd .pt .pth .ckpt .safetensors .onnx .tflite .pb .gguf .usearch .faiss
    .blend .fbx .glb .3ds .max .dwg .stl .unitypackage .uasset .swf .fla .pcap .pcapng .mmdb .nbt .snk .lockb""".split()
_SECRET_EXTENSIONS = (
    b".pem .key .p12 .pfx .p8 .jks .keystore .kdbx .kdb .ppk .ovpn .gpg .tfstate .keytab .agekey".split()
)
EXTENSIONS: Final = (
    dict.fromkeys(_BINARY_EXTENSIONS, BINARY) | dict.fromkeys(_SECRET_EXTENSIONS, SECRET) | {b".env": SECRET}
)

SUFFIX_TRAITS: Final = (
    dict.fromkeys(
        b"""_pb2.py _pb2.pyi _pb2_grpc.py .pb.go .pb.gw.go .pb.cc .pb.h .pb.c .pb.swift .grpc.swift .pb.validate.go
        .pb.dart .pbgrpc.dart .g.dart .freezed.dart .designer.cs .g.cs .g.i.cs .generated.cs .generated.ts .generated.go
        .generated.swift _generated.go _generated.ts .gen.go .gen.ts _string.go .tab.c .tab.h .yy.c .js.map
        .mjs.map .cjs.map .css.map .d.ts.map""".split(),
        GENERATED,
    )
    | dict.fromkeys(
        b".min.js .min.mjs .min.cjs .min.css .min.html -min.js -min.css .bundle.js .chunk.js".split(), MINIFIED
    )
    | {b".tfstate.backup": SECRET}
    # Copies that editors and merges leave beside a file.
    | dict.fromkeys(b"~ .swp .swo .orig .rej".split(), HIDDEN)
)
PREFIX_TRAITS: Final = {
    b".env.": SECRET,
    b"zz_generated.": GENERATED,
    b"test_": TEST,
}
SUFFIXES: Final = tuple(SUFFIX_TRAITS)
PREFIXES: Final = tuple(PREFIX_TRAITS)

TEST_SUFFIXES: Final = (
    *(b"_test" + ext for ext in b".py .go .c .cc .cpp .rs .dart .ex .exs .rb .js .ts .lua .sh .jl .erl .hs".split()),
    *(b".test" + ext for ext in b".js .jsx .ts .tsx .mjs .cjs .mts .cts".split()),
    *(b".spec" + ext for ext in b".js .jsx .ts .tsx .mjs .cjs .mts .cts".split()),
    *(b"_spec" + ext for ext in b".rb .lua .js .ts".split()),
    *(b"Test" + ext for ext in b".java .kt .scala .groovy .php .cs .swift".split()),
    *(b"Tests" + ext for ext in b".java .kt .scala .groovy .php .cs .swift".split()),
    *(b"Spec" + ext for ext in b".scala .groovy .kt .hs".split()),
)
"""Endings of the names of test files (exact case: ``latest.java`` is none)."""

_SAMPLE_WORDS = (b"example", b"sample", b"template", b"dist", b"defaults", b"tmpl", b"tpl")


def is_sample(lower: bytes) -> bool:
    """Whether a name that looks like a secret's says that it is only a pattern for one (``.env.example``)."""
    return lower.split(b".")[-1] in _SAMPLE_WORDS or lower.startswith((b"example.", b"sample."))
