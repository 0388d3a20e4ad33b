"""Settings: where they come from, what is refused, and that config.yaml and the documentation say the same."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from indexing.settings import Settings, SettingsError, default_config_path, load_settings
from indexing.settings.document import MAX_FILE_BYTES, read_document
from indexing.settings.load import known_keys
from indexing.settings.schema import key_fields

PROJECT = Path(__file__).parents[2]

WriteConfig = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_settings_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own directories and environment say nothing."""
    for name in list(os.environ):
        if name.upper().startswith("CODETROVE_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    def write(text: str) -> Path:
        path = tmp_path / "given.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.indexing.worker_batch_size == 64
    assert settings.storage.data_dir.is_relative_to(tmp_path / "home")


def test_the_command_line_wins_over_environment_over_file_over_default(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config("search: {default_k: 11, max_k: 111, max_hits_per_file: 4}\n")
    monkeypatch.setenv("CODETROVE_SEARCH__DEFAULT_K", "12")
    monkeypatch.setenv("CODETROVE_SEARCH__MAX_K", "112")
    search = load_settings(path, {"search.default_k": 13, "search.max_k": None}).search
    assert (search.default_k, search.max_k, search.max_hits_per_file, search.max_allowed_ids) == (13, 112, 4, 20_000)


def test_the_file_is_the_given_one_else_the_variables_else_the_users(
    tmp_path: Path, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = default_config_path()
    assert users.is_relative_to(tmp_path / "home")
    users.parent.mkdir(parents=True)
    users.write_text("log: {level: error}\n", encoding="utf-8")
    assert load_settings().log.level == "error"
    named = tmp_path / "named.yaml"
    named.write_text("log: {level: warning}\n", encoding="utf-8")
    monkeypatch.setenv("CODETROVE_CONFIG", str(named))
    assert load_settings().log.level == "warning"
    assert load_settings(write_config("log: {level: debug}\n")).log.level == "debug"


def test_a_config_file_in_the_working_directory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("log: {level: error}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings().log.level == "info"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.log.level = "debug"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.log = settings.log  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "indexing: {concurent_workers: 2}",
            r"key 'indexing.concurent_workers' in .*/given.yaml; did you mean 'indexing.concurrent_workers'\?",
        ),
        ("indexing: {concurent_workers: null}", "unknown key 'indexing.concurent_workers'"),
        ("data_dir: /x", r"unknown key 'data_dir' in .*; did you mean 'storage.data_dir'\?"),
        ("serch: {default_k: 3}", r"unknown key 'serch.default_k' in .*; did you mean 'search.default_k'\?"),
        ("storage: {zstd_level: 3, 1: 2}", "unknown key 'storage.1' in "),
        ("1: 2", "unknown key '1' in .*; docs/configuration.md lists all keys"),
        ("log: 3", "'log' in .* is a group of keys, but has the value 3"),
        ("- a", "groups such as 'storage:' are expected, found a list"),
        (
            "indexing: {worker_batch_size: 0}",
            r"indexing.worker_batch_size = 0 \(in .*/given.yaml\): input should be greater than or equal to 1",
        ),
        ("indexing: {worker_batch_size: many}", r"indexing.worker_batch_size = 'many' .*valid integer"),
        ("indexing: {worker_batch_size: true}", "indexing.worker_batch_size = True .*not a truth value"),
        ("log: {level: loud}", "log.level = 'loud' .*'debug', 'info', 'warning' or 'error'"),
        ("discovery: {include: '*.py'}", r"discovery.include = '\*.py' .*valid tuple"),
        ("discovery: {include: ['*.py', 3]}", "discovery.include.1 = 3 .*valid string"),
        ("storage: {data_dir: here}", r"storage.data_dir = 'here' .*an absolute path, or one that begins with ~"),
        ("text: {threads: 8}", "text.heap_bytes = 67108864 is too little for text.threads = 8.* at least 120000000"),
        ("search: {default_k: 300}", "search.default_k = 300 is above search.max_k = 200"),
    ],
)
def test_a_wrong_file_is_refused_with_key_value_and_remedy(text: str, message: str, write_config: WriteConfig) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write_config(text))


def test_all_problems_are_told_at_once(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETROVE_LOG__LEVL", "info")
    with pytest.raises(SettingsError) as caught:
        load_settings(write_config("a: 1\nlog: {colour: red}\n"), {"search.k": 5})
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("CODETROVE_LOG__LEVL", "CODETROVE_LOG__LEVEL"),
        ("codetrove_log__level", "CODETROVE_LOG__LEVEL"),
        ("CODETROVE_DATA_DIR", "CODETROVE_STORAGE__DATA_DIR"),
    ],
)
def test_an_unknown_environment_variable_is_refused_with_the_nearest_known_one(
    name: str, suggestion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=rf"unknown environment variable {name}; did you mean '{suggestion}'\?"):
        load_settings()


def test_a_refused_value_names_the_source_that_gave_it(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config("search: {max_k: 50}")
    monkeypatch.setenv("CODETROVE_SEARCH__MAX_K", "0")
    with pytest.raises(SettingsError, match=r"search.max_k = '0' \(from CODETROVE_SEARCH__MAX_K\): "):
        load_settings(path)
    with pytest.raises(SettingsError, match=r"search.max_k = -1 \(from the command line\): "):
        load_settings(path, {"search.max_k": -1})
    with pytest.raises(SettingsError, match=r"unknown key 'search.mx_k' on the command line"):
        load_settings(path, {"search.mx_k": 1})


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETROVE_DISCOVERY__INCLUDE", '["*.py", "src/"]')
    assert load_settings().discovery.include == ("*.py", "src/")
    monkeypatch.setenv("CODETROVE_DISCOVERY__INCLUDE", "*.py")
    with pytest.raises(SettingsError, match=r"CODETROVE_DISCOVERY__INCLUDE = '\*\.py' is not a JSON list"):
        load_settings()


def test_a_tilde_in_the_data_directory_is_the_home_directory(tmp_path: Path) -> None:
    assert load_settings(overrides={"storage.data_dir": "~/index"}).storage.data_dir == tmp_path / "home" / "index"


def test_a_long_value_is_cut_in_the_message(write_config: WriteConfig) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write_config(f"log: {{level: {'x' * 3000}}}"))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storage: !!python/object/apply:os.system ['touch PWNED']", "line 1: tag .*os.system is refused"),
        ("storage: {data_dir: !!str /x}", "tag .* is refused"),
        ("a: &a [x, x]\nb: *a\n", "line 1: anchor &a is refused"),
        ("storage: *nowhere\n", "alias .nowhere is refused"),
        ("log:\n  <<: {level: debug}\n", "line 2: merge key '<<' is refused"),
        ("log: {level: debug}\nlog: {level: info}\n", "line 2: key 'log' is given twice"),
        ("log:\n  level: debug\n  level: info\n", "line 3: key 'level' is given twice"),
        ("? [a]\n: b\n", "a key must be a plain word"),
        ("log: {}\n---\nlog: {}\n", "line 2: a second document begins"),
        ("log: [" + "[" * 100_000, "nested deeper than 4 levels"),
        ("search: {max_k: " + "1:" * 50_000 + "1}", "longer than 4096 characters"),
        ("search: {max_k: 1" + "0" * 4090 + "}", "max_k = "),
        ("log: {level: 2020-13-45}", "a value cannot be read|log.level = "),
        ("log: [", r"given.yaml, line \d+: not valid YAML"),
        ("log: \x07", "not valid YAML"),
    ],
)
def test_f090_yaml_that_could_do_harm_is_refused(text: str, message: str, write_config: WriteConfig) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write_config(text))


def test_f090_an_alias_bomb_is_refused_before_it_grows(write_config: WriteConfig) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for previous, name in zip("abcdefghijklmn", "bcdefghijklmno", strict=True):
        bomb += f"{name}: &{name} [" + ", ".join([f"*{previous}"] * 9) + "]\n"
    with pytest.raises(SettingsError, match="line 1: anchor &a is refused"):
        load_settings(write_config(bomb))


def test_f090_a_file_over_the_cap_is_refused_and_one_at_the_cap_is_read(write_config: WriteConfig) -> None:
    fill = "#" * (MAX_FILE_BYTES - 1) + "\n"
    assert read_document(write_config(fill)) == {}
    with pytest.raises(SettingsError, match=f"larger than the {MAX_FILE_BYTES} bytes"):
        read_document(write_config(fill + "\n"))


def test_a_file_that_is_missing_or_no_regular_file_or_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.yaml does not exist"):
        load_settings(tmp_path / "absent.yaml")
    with pytest.raises(SettingsError, match="is not a regular file"):
        load_settings(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read: File name too long"):
        load_settings(tmp_path / ("x" * 300))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SettingsError, match="is not a regular file"):
        load_settings(fifo)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"log: {level: \xe9}")
    with pytest.raises(SettingsError, match=r"is not UTF-8: .* at byte 13"):
        load_settings(latin)


def test_an_empty_group_and_a_null_key_keep_their_defaults(write_config: WriteConfig) -> None:
    assert load_settings(write_config("\ufeffstorage:\nlog:\n  level: null\n")) == Settings()


def test_config_yaml_holds_every_key_with_its_default_and_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    path = PROJECT / "config.yaml"
    document = read_document(path)
    written = {f"{group}.{key}": value for group, keys in document.items() for key, value in keys.items()}
    assert list(written) == list(key_fields())
    for key, field in key_fields().items():
        assert json.dumps(written[key]) == json.dumps(None if field.default_factory else _plain(field.default)), key
    assert load_settings(path) == Settings()
    lines = path.read_text(encoding="utf-8").splitlines()
    uncommented = [
        line for before, line in pairwise(lines) if re.match(r" *\w+:", line) and not before.strip().startswith("#")
    ]
    assert uncommented == []
    text = re.sub(r"\n *# *", " ", "\n".join(lines))
    assert [key for key, field in key_fields().items() if str(field.description) not in text] == []


def test_the_documentation_names_every_key_with_default_and_meaning() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|.*\| (.*?) \|$", _read("docs/configuration.md"), re.MULTILINE)
    expected = [
        (
            key,
            "the user's data directory" if field.default_factory else f"`{_in_yaml(field.default)}`",
            field.description,
        )
        for key, field in key_fields().items()
    ]
    assert rows == expected


def test_every_key_has_an_environment_variable_of_its_own() -> None:
    variables = known_keys()
    assert variables["storage.data_dir"] == "CODETROVE_STORAGE__DATA_DIR"
    assert len(set(variables.values())) == len(key_fields())


def _read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _in_yaml(value: object) -> str:
    value = _plain(value)
    return value if isinstance(value, str) else json.dumps(value)
