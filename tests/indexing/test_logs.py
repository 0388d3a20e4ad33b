"""Log lines as they are written: what is in them, what never is, and that their events are the documented ones."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
import structlog
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from indexing.log_values import LONGEST_TEXT, MOST_LINES, REDACTED, cleaned, cleaned_text
from indexing.logs import LIBRARY_EVENT, LibraryHandler, configure_logs
from indexing.settings import LogSettings

SOURCES = Path(__file__).parents[2] / "src"
MANUAL = Path(__file__).parents[2] / "docs" / "logging.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
HANDING_ON = {"_warn", "_announce", "_announce_once"}
"""Functions whose first argument is the event that they hand on."""
TOKEN = "codetrove_" + "aB3-" * 11
NASTY = "a\n2026-01-01 [info] job.failed\x1b[31m\r\u202egnp.exe\x00"

Written: TypeAlias = Callable[[], str]
Format: TypeAlias = Literal["console", "json"]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What was written to standard error; the logs are as they were afterwards."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield lambda: capsys.readouterr().err
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
    structlog.reset_defaults()


def begin(form: Format, level: Literal["debug", "info", "warning", "error"] = "info") -> Any:
    """Set the logs up and return a logger."""
    configure_logs(LogSettings(format=form, level=level), verbose=False)
    return structlog.get_logger()


@pytest.mark.parametrize("form", ["console", "json"])
def test_f091_no_value_can_begin_a_line_or_move_the_cursor(written: Written, form: Format) -> None:
    log = begin(form)
    log.warning("worker.died", path=NASTY, paths=[NASTY, {NASTY: NASTY.encode()}])
    log.warning(NASTY)
    lines = written().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if form == "json":
        # Also after a program has read it: it may print it to a terminal.
        assert json.loads(lines[0])["path"].isprintable()
        assert all(isinstance(json.loads(line), dict) for line in lines)


@pytest.mark.parametrize("form", ["console", "json"])
def test_f091_no_line_of_a_traceback_can_be_taken_for_an_event(written: Written, form: Format) -> None:
    secret = "never shown"
    log = begin(form)
    try:
        raise ValueError(f"{NASTY} {TOKEN}")
    except ValueError:
        log.exception("request.failed", seconds=1)
    log.warning("loop.held_up", stack=f"frame\n{NASTY}")
    text = written()
    assert TOKEN not in text
    assert secret not in text, "values of variables do not belong into a log"
    if form == "json":
        first, second = map(json.loads, text.splitlines())
        assert first["exception"][0].startswith("Traceback")
        assert all(line.isprintable() for line in (*first["exception"], *second["stack"]))
    else:
        assert "ValueError" in text
        assert [line for line in text.splitlines() if line.startswith("2026-01-01")] == []
        assert all(line.isprintable() for line in text.splitlines())


@examples(max_examples=60)
@given(st.text())
def test_f091_text_of_any_kind_becomes_one_printable_line(text: str) -> None:
    assert cleaned_text(text).isprintable()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", "abc"),
        ("access_token", "abc"),
        ("Authorization", "Bearer abc"),
        ("set-cookie", "codetrove_session=abc"),
        ("password", "abc"),
        ("apikey", ["abc", "def"]),
        ("headers", {"cookie": "abc", "authorization": b"abc"}),
        ("reason", f"sent {TOKEN} as it is"),
        ("header", "Bearer abc.def"),
        ("url", "https://ada:abc@example.org/x"),
        ("url", "/sign-in?code=abc&token=abc"),
        ("cookies", b"codetrove_session=abc"),
        ("error", ValueError(f"{TOKEN} is refused")),
    ],
)
def test_secrets_are_not_written(key: str, value: object) -> None:
    text = json.dumps(cleaned(value, key))
    assert REDACTED in text
    assert "abc" not in text
    assert TOKEN not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokens", 17),
        ("token_id", "4f2c"),
        ("collection", "codetrove_12345678_0123456789ab_deadbeef"),
        ("path", "src/auth/token.py"),
        ("reason", "the disk is full"),
        ("seconds", 0.5),
        ("replica", None),
        ("is_worn", True),
    ],
)
def test_what_is_no_secret_is_written_as_it_is(key: str, value: object) -> None:
    assert cleaned(value, key) == value


def test_a_secret_is_replaced_also_where_the_cut_goes_through_it() -> None:
    for before in range(LONGEST_TEXT - 60, LONGEST_TEXT + 1):
        assert "codetrove_aB" not in cleaned_text(f"{' ' * before}{TOKEN}{' ' * LONGEST_TEXT}")


def test_huge_and_deep_values_are_cut() -> None:
    deep: dict[str, Any] = {}
    deep["deeper"] = deep
    assert len(str(cleaned("x" * 10_000_000))) < LONGEST_TEXT + 50
    assert len(json.dumps(cleaned(deep))) < 50 * LONGEST_TEXT
    assert len(str(cleaned(["x"] * 100_000))) < 10 * LONGEST_TEXT
    assert cleaned(float("nan")) == "nan"


def test_a_traceback_keeps_its_last_lines(written: Written) -> None:
    log = begin("json")
    log.warning("loop.held_up", stack="\n".join(map(str, range(10_000))))
    stack = json.loads(written())["stack"]
    assert len(stack) == MOST_LINES
    assert stack[-1] == "9999"


def test_libraries_are_heard_from_warnings_on(written: Written) -> None:
    begin("json", "debug")
    for name in ("uvicorn.error", "uvicorn.access", "mcp.server.lowlevel", "watchfiles.main", "asyncio"):
        logging.getLogger(name).info("GET /?token=%s", TOKEN)
        logging.getLogger(name).warning("%s said\n%s", name, NASTY)
    LibraryHandler().emit(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d", ("no number",), None))
    lines = [json.loads(line) for line in written().splitlines()]
    assert [line["library"] for line in lines] == [
        "uvicorn.error", "uvicorn.access", "mcp.server.lowlevel", "watchfiles.main", "asyncio", "x",
    ]  # fmt: skip
    assert {line["event"] for line in lines} == {"library.logged"}
    assert {line["level"] for line in lines} == {"warning"}
    assert lines[0]["message"].startswith("uvicorn.error said\\x0a")


def test_a_library_that_set_itself_up_is_heard_all_the_same(written: Written) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    begin("json")
    logger.warning("once, and as JSON")
    assert [json.loads(line)["message"] for line in written().splitlines()] == ["once, and as JSON"]


def test_setting_logs_up_again_does_not_double_what_libraries_say(written: Written) -> None:
    begin("json")
    begin("console")
    assert sum(isinstance(each, LibraryHandler) for each in logging.getLogger().handlers) == 1
    logging.getLogger("mcp").warning("once")
    assert written().count("once") == 1


def test_bound_ids_are_in_every_line(written: Written) -> None:
    log = begin("json")
    with structlog.contextvars.bound_contextvars(request_id="r1", job="j1"):
        log.info("job.failed")
        logging.getLogger("mcp").warning("of the same request")
    log.info("job.failed")
    bound = [(line.get("request_id"), line.get("job")) for line in map(json.loads, written().splitlines())]
    assert bound == [("r1", "j1"), ("r1", "j1"), (None, None)]


def test_a_reader_of_the_log_that_left_stops_nothing(monkeypatch: pytest.MonkeyPatch, written: Written) -> None:
    log = begin("json")

    class Gone(StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    log.error("worker.died")


def test_the_level_is_the_one_of_the_settings_unless_all_is_wanted(written: Written) -> None:
    log = begin("json", "warning")
    log.info("flag.changed")
    configure_logs(LogSettings(format="json", level="error"), verbose=True)
    log.debug("worker.replaced")
    assert [json.loads(line)["event"] for line in written().splitlines()] == ["worker.replaced"]


def test_every_event_of_the_sources_is_in_the_manual_and_the_other_way_round() -> None:
    used, elsewhere = events_of_sources()
    listed = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", MANUAL.read_text(), re.MULTILINE))
    assert elsewhere == [], "an event is a literal, so that it can be found"
    assert used - listed == set(), "missing in docs/logging.md"
    assert listed - used == set(), "no longer logged anywhere"


def events_of_sources() -> tuple[set[str], list[str]]:
    """Return the names of events in all calls of loggers, and where a call names none."""
    found: set[str] = set()
    unnamed: list[str] = []
    for path in sorted(SOURCES.rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if (first := event_argument(call)) is None:
                continue
            values = [str(node.value) for node in ast.walk(first) if isinstance(node, ast.Constant)]
            names = set(filter(is_event, values))
            if not names and not ast.unparse(first).endswith("event") and ast.unparse(first) != "LIBRARY_EVENT":
                unnamed.append(f"{path.name}:{call.lineno}")
            found |= names
    return found | {LIBRARY_EVENT}, unnamed


def event_argument(call: ast.Call) -> ast.expr | None:
    """Return what stands for the event in a call of a logger, or of a function that hands events on; else None."""
    target = call.func
    name = target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
    if name in HANDING_ON:
        return call.args[0] if call.args else None
    if not isinstance(target, ast.Attribute) or name not in LEVELS:
        return None
    logger = ast.unparse(target.value)
    if logger not in {"log", "_log"} and not logger.startswith("structlog.get_logger("):
        return None
    return call.args[1 if name == "log" else 0]


def is_event(text: str) -> bool:
    return re.fullmatch(r"[a-z_]+\.[a-z_]+", text) is not None


def test_logs_load_no_rich_and_leave_it_to_those_who_show_bars() -> None:
    script = (
        "import sys, indexing.logs\n"
        "assert not [name for name in sys.modules if name.startswith('rich')]\n"
        "import rich.progress\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    script = "import rich\nimport indexing.logs, sys\nassert sys.modules['rich'] is rich\n"
    subprocess.run([sys.executable, "-c", script], check=True)
