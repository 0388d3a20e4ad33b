"""Commands as clients of a running owner: the same answers as alone, and clear words when it goes away."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexing import control
from indexing.cli.invocation import Invocation
from indexing.settings import SettingsError, load_settings
from tests.conftest import TreeFactory
from tests.indexing.cli.conftest import Ran, Run, Start
from tests.indexing.cli.serving import Serving, when_ready

FILES = {
    "src/a.py": "class Alpha:\n    def beta(self):\n        return 1\n",
    "src/b.py": "def gamma():\n    return Alpha()\n",
    "broken.txt": "x" * 30_000_000,
    "docs/read.md": "# Alpha\n\nAbout gamma.\n",
}


NEVER_FOR_A_CLIENT = (
    "pydantic", "pydantic_settings", "typer._adapters", "asyncio", "structlog", "numpy", "tantivy", "sqlite3", "rich",
    "storage", "indexing.settings.schema",
)  # fmt: skip
"""Each takes longer to load than the question to the owner."""


@pytest.fixture
def owner(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A running service that does not watch, so that only what is asked for happens."""
    monkeypatch.setenv("CODETROVE_LOG__LEVEL", "error")
    serving = when_ready(start("serve", "--port", "0", "--json", "--no-watch"))
    yield serving
    if serving.process.poll() is None:
        serving.process.terminate()
        serving.process.communicate(timeout=30)


def _steady(ran: Ran) -> Any:
    """What a summary says, without what differs from run to run."""
    found = ran.json()
    for job in found["jobs"]:
        for key in ("job", "repository", "seconds", "searchable_chunks"):
            job.pop(key)
    return {key: value for key, value in found.items() if key != "workers"}


def test_index_through_an_owner_gives_the_same_summary(
    run: Run, start: Start, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree(FILES)
    alone, alone_again = run("index", root, "--json"), run("index", root)
    run("forget", root, "--yes")
    serving = when_ready(start("serve", "--port", "0", "--json", "--no-watch"))
    through, through_again = run("index", root, "--json"), run("index", root)
    assert (through.code, through_again.code) == (alone.code, alone_again.code)
    assert _steady(through) == _steady(alone)
    steady = re.compile(r" in [\d.]+ m?s:.*")
    assert steady.sub("", through_again.stdout) == steady.sub("", alone_again.stdout)
    assert "the running owner indexes" in through.stderr
    assert serving.stop(signal.SIGTERM)[0] == 0


def test_answers_through_an_owner_are_those_of_the_index(run: Run, owner: Serving, tree: TreeFactory) -> None:
    root = tree(FILES)
    run("index", root)
    questions = (
        ("search", "gamma", "--json"),
        ("search", "gamma"),
        ("search", "gamma", "--repo", str(root / "src"), "--lang", "python", "--path", "src/**", "-k", "1", "--json"),
        ("search", "nothing_like_this"),
        ("symbol", "Alpha.beta"),
        ("symbol", "alp", "--prefix", "--json"),
        ("symbol", "nothing_like_this"),
        ("search", "gamma", "--repo", "/nowhere"),
    )
    through = [run(*words) for words in questions]
    owner.stop(signal.SIGTERM)
    for words, ran in zip(questions, through, strict=True):
        alone = run(*words)
        assert (ran.code, ran.stderr) == (alone.code, alone.stderr), words
        assert _without_ages(ran.stdout) == _without_ages(alone.stdout), words


def test_asking_an_owner_loads_little(run: Run, owner: Serving, tree: TreeFactory, data_dir: Path) -> None:
    assert run("index", tree(FILES)).code in (0, 1)
    assert owner.process.poll() is None
    config = data_dir.with_suffix(".yaml")
    config.write_text(f"storage: {{data_dir: {data_dir}}}\n", "utf-8")
    for words in (["search", "gamma", "-k", "3"], ["symbol", "gamma"], ["jobs", "list"]):
        script = (
            "import sys\nfrom indexing.cli import main\n"
            f"sys.argv[1:] = ['--config', {str(config)!r}, *{words!r}]\n"
            "try: main()\nexcept SystemExit as end: assert end.code == 0, end.code\n"
            f"loaded = [name for name in {NEVER_FOR_A_CLIENT!r} if name in sys.modules]\n"
            "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


def _without_ages(printed: str) -> str:
    return re.sub(r'"snapshot": "[^"]*"', "", printed)


def test_what_cannot_be_asked_is_refused_with_the_code_of_wrong_usage(
    run: Run, owner: Serving, tree: TreeFactory
) -> None:
    root = tree({"a.py": "a = 1\n"})
    assert owner.ready["repositories"] == []
    assert (ran := run("search", "a")).code == 3
    assert "nothing is indexed yet" in ran.stderr
    assert (ran := run("index", root / "missing")).code == 2
    assert "Traceback" not in ran.stderr
    (root / "empty").mkdir()
    assert (ran := run("index", root / "empty")).code == 2
    assert run("jobs", "list").stdout == ""
    run("index", root)
    assert (ran := run("search", "a", "-k", "100000")).code == 2
    assert (ran := run("similar", f"{root}/a.py:1")).code == 3
    assert "vectors" in ran.stderr
    assert (ran := run("flags", "set", "enable_paralel", "true")).code == 2
    assert "no flag 'enable_paralel'; there is enable_parallel" in ran.stderr
    assert (ran := run("index", root, "--exclude", "*.md")).code == 3
    assert "codetrove stop" in ran.stderr
    assert (ran := run("model", "switch", "all-minilm-l6-v2")).code == 3
    assert "codetrove stop" in ran.stderr
    assert (ran := run("jobs", "show", "zz")).code == 2
    assert "jobs list" in ran.stderr


def test_a_flag_that_is_set_through_an_owner_holds_at_once(run: Run, owner: Serving) -> None:
    assert "enable_parallel  true   (stored at 20" in run("flags", "set", "enable_parallel", "true").stdout
    _, found = owner.ask("GET", "/flags")
    (parallel,) = [flag for flag in found["flags"] if flag["name"] == "enable_parallel"]
    assert (parallel["value"], parallel["changed_by"]) == (True, "local")
    through = run("flags", "list", "--json").json()
    owner.stop(signal.SIGTERM)
    assert run("flags", "list", "--json").json() == through


def test_jobs_are_listed_paused_shown_and_followed(run: Run, owner: Serving, tree: TreeFactory) -> None:
    root = tree(FILES)
    run("index", root)
    (job,) = run("jobs", "list", "--json").json()["jobs"]
    assert run("jobs", "list").stdout.startswith(
        f"{job['id'][:8]}  partial" if job["tally"]["failed"] else job["id"][:8]
    )
    assert f"job {job['id']}: " in run("jobs", "show", job["id"][:6]).stdout
    files = run("jobs", "files", job["id"], "--json").json()["files"]
    assert {file["path"]: file["outcome"] for file in files}["src/a.py"] == "indexed"
    assert "src/a.py" in run("jobs", "files", job["id"], "--outcome", "indexed").stdout
    assert run("jobs", "watch", job["id"], "--json").json()["jobs"][0]["job"] == job["id"]
    for wish in ("pause", "resume", "cancel"):
        ran = run("jobs", wish, job["id"])
        assert (ran.code, "has ended" in ran.stderr) == (3, True)
    assert owner.process.poll() is None


def test_sync_says_that_all_is_searchable_and_needs_an_owner(run: Run, owner: Serving, tree: TreeFactory) -> None:
    root = tree({"a.py": "def alpha(): ...\n"})
    run("index", root)
    (root / "b.py").write_text("def omega(): ...\n", "utf-8")
    assert run("sync", "--repo", root, "--timeout", "20").code == 0
    assert run("search", "omega").code == 0
    owner.stop(signal.SIGTERM)
    assert (ran := run("sync")).code == 3
    assert "codetrove serve" in ran.stderr


def test_forget_through_an_owner_takes_the_repository_away(run: Run, owner: Serving, tree: TreeFactory) -> None:
    root = tree({"a.py": "def alpha(): ...\n"})
    run("index", root)
    assert run("forget", root / "elsewhere", "--yes").code == 2
    ran = run("forget", root, "--yes")
    assert (ran.code, ran.stdout) == (0, f"forgot {root}: 1 files\n")
    assert owner.ask("GET", "/repositories")[1] == {"repositories": []}


def test_a_status_names_the_owner_its_jobs_and_how_it_notices_changes(
    run: Run, start: Start, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETROVE_LOG__LEVEL", "error")
    serving = when_ready(start("serve", "--port", "0", "--json"))
    root = tree({"a.py": "def alpha(): ...\n"})
    run("index", root)
    found = run("status", "--json").json()
    assert str(serving.process.pid) in found["owner"]
    (watching,) = found["live"]["watching"]
    assert watching["root"] == str(root)
    assert watching["mode"] in {"events", "scan"}
    assert f"watching {root} by {watching['mode']}" in run("status").stdout
    serving.stop(signal.SIGTERM)
    assert run("status", "--json").json()["live"] is None


def test_a_single_index_answers_on_its_socket_too(run: Run, start: Start, tree: TreeFactory, data_dir: Path) -> None:
    root = tree({f"m{number}.py": f"def f{number}(): ...\n" for number in range(400)})
    indexing = start("index", root)
    assert indexing.stderr is not None
    for line in indexing.stderr:
        if "indexing" in line:
            break
    owner = control.find_owner(data_dir)
    assert owner is not None
    status = owner.get("/status")
    assert status["service"]["uptime_seconds"] >= 0
    assert str(indexing.pid) in status["owner"]
    _, stderr = indexing.communicate(timeout=60)
    assert indexing.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert control.find_owner(data_dir) is None


def test_ctrl_c_cancels_the_job_that_the_command_began(
    owner: Serving, start: Start, run: Run, tree: TreeFactory
) -> None:
    root = tree({f"m{number}.py": f"def f{number}(): ...\n" * 50 for number in range(1000)})
    indexing = start("index", root, "--json")
    assert indexing.stderr is not None
    for line in indexing.stderr:
        if "the running owner indexes" in line:
            break
    indexing.send_signal(signal.SIGINT)
    stdout, stderr = indexing.communicate(timeout=60)
    assert indexing.returncode == 1, stderr
    assert json.loads(stdout)["jobs"][0]["state"] == "cancelled"
    assert owner.process.poll() is None
    assert run("index", root).code == 0


def test_an_owner_that_goes_away_in_the_middle_is_said(
    owner: Serving, start: Start, run: Run, tree: TreeFactory
) -> None:
    root = tree({f"m{number}.py": f"def f{number}(): ...\n" * 50 for number in range(1000)})
    indexing = start("index", root)
    assert indexing.stderr is not None
    for line in indexing.stderr:
        if "the running owner indexes" in line:
            break
    owner.process.kill()
    _, stderr = indexing.communicate(timeout=60)
    assert indexing.returncode == 3
    assert "went away" in stderr
    assert "Traceback" not in stderr
    # Questions are answered without it.
    assert run("search", "f1").code in (0, 1)
    assert run("index", root).code == 0


def test_the_data_directory_is_found_as_the_settings_say_without_loading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert Invocation().data_directory() == load_settings().storage.data_dir
    user = tmp_path / "config" / "codetrove" / "config.yaml"
    user.parent.mkdir(parents=True)
    for text in (
        "log: {level: error}\n",
        "storage:\n  # data_dir: /not/this\n",
        "storage: {data_dir: null}\n",
        "storage: {data_dir: ~/mine}\n",
        f"storage.data_dir: {tmp_path}/dotted\n",
        f"storage: {{data_dir: {tmp_path}/other}}\n",
    ):
        user.write_text(text, "utf-8")
        assert Invocation().data_directory() == load_settings().storage.data_dir
    named = tmp_path / "named.yaml"
    named.write_text(f'{{"storage": {{"data_dir": "{tmp_path}/named"}}}}', "utf-8")
    assert Invocation(config=named).data_directory() == tmp_path / "named"
    monkeypatch.setenv("CODETROVE_CONFIG", str(named))
    assert Invocation().data_directory() == load_settings().storage.data_dir == tmp_path / "named"
    monkeypatch.setenv("CODETROVE_STORAGE__DATA_DIR", "~/named")
    assert Invocation().data_directory() == load_settings().storage.data_dir
    given = Invocation(data_dir=Path("here"))
    assert given.data_directory() == load_settings(None, given.overrides()).storage.data_dir


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("storage: {data_dir: here}\n", "an absolute path"),
        ("storage: {data_dir: 5}\n", "storage.data_dir = 5"),
        ("storage: data_dir\n", "is a group of keys"),
        ("storage: {data_dir: /a, data_dir: /b}\n", "is given twice"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_names_no_usable_data_directory_is_explained(tmp_path: Path, text: str | None, says: str) -> None:
    config = tmp_path / "config.yaml"
    if text is not None:
        config.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=says):
        Invocation(config=config).data_directory()
