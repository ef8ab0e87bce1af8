"""The record of jobs and their notices: logs of JSON lines, `jobs`, `notify` and metrics."""

import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.commands import Program, installed
from tests.journeys import moments, trees
from tests.journeys.stage import Copy, Stage, backup, ended, flip, refused

assert sys.platform == "linux"


@pytest.fixture
def stage(copy_of: Copy, opened: Stage) -> Stage:
    return copy_of(opened)


def jobs(stage: Stage, *words: object, program: str = "seed") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.run(program, "jobs", *words, "--json").json
    return found


def days_later(stage: Stage, days: int) -> None:
    stage.command = lambda program: ("faketime", "-f", f"+{days}d", *installed(program))


@pytest.fixture
def told(stage: Stage) -> Path:
    """Return the file where a command of `notify` writes its notices."""
    path = stage.folder / "told"
    stage.run(
        "seed",
        "notify",
        "set",
        "--command",
        f"cat >> {path}; echo >> {path}",
        "--on",
        "failure,warning,stale",
    )
    return path


class Hook(HTTPServer):
    """A webhook on the loopback interface, and the notices that it received."""

    def __init__(self, answer: int) -> None:
        told: list[dict[str, Any]] = []
        self.told = told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?secret"


@pytest.fixture
def hook(request: pytest.FixtureRequest) -> Iterator[Hook]:
    server = Hook(getattr(request, "param", 200))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_end_has_its_state_and_its_reason(stage: Stage, source: Path) -> None:
    done = backup(stage, source)
    stage.vault.rename(stage.folder / "gone")
    stage.run("seed", "backup", code=1)
    (stage.folder / "gone").rename(stage.vault)
    stage.run("seed", "restore", "latest", "--target", stage.folder / "back", "--vault", stage.at)
    stage.run("seed", "restore", "latest", "--target", stage.folder / "back", "--dry-run")
    stage.run("seed", "restore", "nothing", "--target", stage.folder / "back", code=2)
    assert jobs(stage, "--all")[0]["kind"] == "backup"
    assert [(j["kind"], j["state"]) for j in jobs(stage)] == [
        ("backup", "done"),
        ("backup", "failed"),
        ("restore", "done"),
    ], "what only looks, or was asked wrongly, is no job"
    good, bad, _ = jobs(stage)
    assert good["read_bytes"] == done["read_bytes"]
    assert (bad["error"]["code"], bad["finished"] is None) == ("store-missing", False)
    assert bad["error"]["hint"]
    said = stage.run("seed", "jobs", bad["job"][:20]).stdout
    assert "what to do: " in said
    refused(stage.run("seed", "jobs", "none", "--json", code=2), "job-unknown")


def test_a_log_is_of_json_lines_that_only_the_owner_reads(stage: Stage, source: Path) -> None:
    backup(stage, source)
    (job,) = jobs(stage)
    path = Path(job["log"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert (events[0], events[-1]) == ("begin", "end")


def test_the_oldest_logs_make_room(stage: Stage, source: Path) -> None:
    folder = stage.home / "jobs"
    folder.mkdir()
    for number in range(450):
        name = f"{number:08}-20200101-000000-{number:03}abcd-backup.jsonl"
        (folder / name).write_bytes(b"")
    backup(stage, source)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 400
    assert names[0].startswith("00000051-")
    assert len(jobs(stage)) == 1, "an empty file is no log"


def test_a_job_that_runs_is_followed_to_its_end_and_one_that_was_killed_is_told_of(
    stage: Stage, long_tree: Path
) -> None:
    def struck(number: int) -> Program:
        return moments.at("asked", number, stage.disk)

    with moments.using(stage, struck(signal.SIGSTOP)):
        running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    with moments.stopped(running):  # until a command follows the job
        (job,) = jobs(stage)
        assert (job["kind"], job["state"], job["finished"]) == ("export", "running", None)
        following = stage.start("seed", "jobs", "--follow")
        assert following.stdout is not None
        first = os.read(following.stdout.fileno(), 1 << 16).decode()
        other = stage.start("seed", "jobs", "--follow")
        assert other.stdout is not None
        assert other.stdout.readline()
        given_up = ended(other, signal.SIGINT)
        assert (given_up.code, given_up.stderr) == (
            130,
            "\nnot followed any longer: the job itself goes on\n",
        )
    assert ended(running).code == 0
    told = ended(following)
    assert told.code == 0
    assert "export   done" in told.stdout
    assert "begun" in first
    words = ("seed", "export", long_tree, "--to", stage.disk, "--again")
    moments.killed(stage, struck(signal.SIGKILL), *words)
    assert [j["state"] for j in jobs(stage)] == ["done", "killed"]
    assert stage.run("seed", "jobs", "--follow").stdout == "no job runs\n"
    with moments.using(stage, struck(signal.SIGINT)):
        stage.run(*words, code=130)
    assert [j["state"] for j in jobs(stage)] == ["done", "killed", "stopped"]


def test_a_command_is_told_of_failures_and_warnings_and_of_nothing_else(
    stage: Stage, source: Path, told: Path
) -> None:
    backup(stage, source)
    assert not told.exists()
    stage.run("seed", "restore", "nothing", "--target", stage.folder / "back", code=2)
    assert not told.exists()
    stage.vault.rename(stage.folder / "gone")
    stage.run("seed", "backup", code=1)
    (event,) = map(json.loads, told.read_text().splitlines())
    assert (event["event"], event["name"], event["state"]) == ("failure", "web1", "failed")
    assert event["error"].keys() == {"code", "what"}
    (stage.folder / "gone").rename(stage.vault)
    for archive in (stage.vault / "archives").glob("*/*"):
        flip(archive, archive.stat().st_size // 2)
    stage.run("seed", "restore", "latest", "--target", stage.folder / "back", code=None)
    last = json.loads(told.read_text().splitlines()[-1])
    assert last["kind"] == "restore"
    assert str(source) not in told.read_text(), "nobody hears what things are called"


def test_a_webhook_is_told_and_its_address_is_never_shown(stage: Stage, hook: Hook) -> None:
    said = stage.run("seed", "notify", "set", "--webhook", hook.url, "--on", "failure")
    assert "secret" not in said.stdout
    stage.run("seed", "notify", "test")
    assert hook.told.pop()["test"]
    stage.vault.rename(stage.folder / "gone")
    result = stage.run("seed", "backup", stage.folder, code=1)
    assert [event["event"] for event in hook.told] == ["failure"]
    assert "secret" not in result.stderr
    stage.run("seed", "notify", "set", "--on", "stale")
    stage.run("seed", "backup", stage.folder, code=1)
    assert len(hook.told) == 1, "only of what is asked for"


@pytest.mark.parametrize("hook", [500], indirect=True)
def test_whoever_cannot_be_told_changes_nothing(stage: Stage, hook: Hook, source: Path) -> None:
    stage.run(
        "seed", "notify", "set", "--webhook", hook.url, "--command", "exit 7", "--on", "failure,warning"
    )
    assert stage.run("seed", "notify", "test", code=1).stderr.count("notify") == 2
    stage.vault.rename(stage.folder / "gone")
    result = stage.run("seed", "backup", source, code=1)
    assert "store-missing" in result.stderr
    assert "note: the command of `notify` ended with 7" in result.stderr
    assert "note: the webhook of `notify` was answered by 500" in result.stderr
    (stage.folder / "gone").rename(stage.vault)
    backup(stage, source)


def test_a_home_that_is_full_or_spoilt_keeps_no_backup_from_being_made(stage: Stage, source: Path) -> None:
    (stage.home / "jobs").write_bytes(b"a file where the folder should be")
    told = stage.folder / "told"
    stage.run("seed", "notify", "set", "--command", f"cat > {told}", "--metrics", stage.folder / "m.prom")
    backup(stage, source)
    (stage.folder / "m.prom").unlink()
    (stage.folder / "m.prom").mkdir()  # the metrics cannot be written either
    stage.vault.rename(stage.folder / "gone")
    stage.run("seed", "backup", code=1)
    assert json.loads(told.read_text())["error"]["code"] == "store-missing", (
        "who is to be told is told all the same"
    )
    (stage.folder / "gone").rename(stage.vault)
    (stage.home / "notify.json").write_text("{")
    result = stage.run("seed", "backup")
    assert "nobody was told" in result.stderr
    refused(stage.run("seed", "notify", "show", "--json", code=1), "home-damaged")


@pytest.mark.needs("faketime")
def test_a_machine_without_a_success_for_days_is_told_of_by_either_side(
    stage: Stage, source: Path, told: Path
) -> None:
    backup(stage, source)
    stage.run("importer", "points", "--vault", stage.at)
    stage.run("importer", "notify", "set", "--days", "7")
    for program in ("seed", "importer"):
        assert stage.run(program, "notify", "check", "--json", IMPORTER_VAULT=stage.at).json == []
    days_later(stage, 3)
    (event,) = stage.run("seed", "notify", "check", "--json", code=3).json
    assert event["text"] == "no backup has succeeded for 3 days"
    assert json.loads(told.read_text())["event"] == "stale"
    assert stage.run("importer", "notify", "check", "--json", IMPORTER_VAULT=stage.at).json == []
    days_later(stage, 8)
    (event,) = stage.run("importer", "notify", "check", "--json", IMPORTER_VAULT=stage.at, code=3).json
    assert (event["name"], event["text"]) == ("web1 of Backups", "no backup has succeeded for 8 days")
    stage.run("seed", "notify", "set", "--days", "0")
    assert stage.run("seed", "notify", "check", "--json").json == []
    stage.vault.rename(stage.folder / "gone")
    (event,) = stage.run("importer", "notify", "check", "--json", IMPORTER_VAULT=stage.at, code=3).json
    assert event["event"] == "failure"


@pytest.mark.needs("faketime")
def test_a_clock_that_was_ahead_once_keeps_no_alarm_back(stage: Stage, source: Path) -> None:
    metrics = stage.folder / "metrics"
    stage.run("seed", "notify", "set", "--metrics", metrics)
    backup(stage, source)
    stage.run("importer", "points", "--vault", stage.at)
    days_later(stage, 2000)
    backup(stage, source)
    newest = max((p for p in (stage.vault / "manifests").rglob("*") if p.is_file()), key=lambda p: p.name)
    os.utime(newest, (time.time() + 2000 * 86_400,) * 2)  # faketime does not reach the file system
    days_later(stage, 1)
    (source / "fails").mkdir()
    stage.run("seed", "backup", source / "fails", "--once", "--vault", stage.folder / "nowhere", code=1)
    days_later(stage, 4)
    for program, who in (("seed", "web1"), ("importer", "web1 of Backups")):
        (event,) = stage.run(program, "notify", "check", "--json", code=3, IMPORTER_VAULT=stage.at).json
        assert event["name"] == who
        assert event["text"].startswith("no backup has succeeded for 4 days; one bears the date 20")
    assert [job["state"] for job in jobs(stage)] == ["done", "done", "failed"], "in their true order"
    told = {s.name: s.value for f in text_string_to_metric_families(metrics.read_text()) for s in f.samples}
    assert told["offseed_job_last_succeeded"] == 0
    assert told["offseed_job_last_success_timestamp_seconds"] == jobs(stage)[0]["finished"]


def test_metrics_are_what_prometheus_reads(stage: Stage, source: Path) -> None:
    path = stage.folder / "offseed.prom"
    stage.run("seed", "notify", "set", "--metrics", path)
    backup(stage, source)
    good = {s.name: s.value for f in text_string_to_metric_families(path.read_text()) for s in f.samples}
    (job,) = jobs(stage)
    assert good["offseed_job_last_success_timestamp_seconds"] == job["finished"]
    assert good["offseed_job_last_succeeded"] == 1
    assert good["offseed_job_last_read_bytes"] == job["read_bytes"]
    stage.vault.rename(stage.folder / "gone")
    stage.run("seed", "backup", code=1)
    bad = {s.name: s.value for f in text_string_to_metric_families(path.read_text()) for s in f.samples}
    assert bad["offseed_job_last_succeeded"] == 0
    assert bad["offseed_job_last_success_timestamp_seconds"] == job["finished"]
    refused(
        stage.run("seed", "notify", "set", "--metrics", "/nowhere/at/all", "--json", code=1), "home-damaged"
    )
    stage.run("seed", "notify", "show")
    os.unlink(path)
    stage.run("seed", "notify", "check")
    assert path.exists()
    other = stage.run("importer", "notify", "set", "--metrics", path, "--json", code=2)
    refused(other, "file-exists")


def test_the_datacenter_lists_papers_and_its_own_logs_as_one(exported: Stage, copy_of: Copy) -> None:
    stage = copy_of(exported)
    stage.import_()
    stage.run("importer", "validate", "--vault", stage.at)
    stage.disk.rename(stage.folder / "lost")
    stage.run("importer", "import", stage.disk, "--vault", stage.at, code=1)
    found = jobs(stage, "--vault", stage.at, program="importer")
    assert [(j["kind"], j["state"], j["machines"]) for j in found] == [
        ("import", "done", ["web1"]),
        ("validate", "done", []),
        ("import", "failed", []),
    ]
    assert found[2]["error"]["code"] == "disk-missing"
    (stage.importer_home / "jobs").rename(stage.folder / "another station's")
    assert [j["kind"] for j in jobs(stage, "--vault", stage.at, program="importer")] == ["import", "validate"]
    told = stage.run("importer", "jobs", "--vault", stage.at).stdout
    assert "copied" in told


def test_what_is_backed_up_in_the_background_is_one_job(stage: Stage, source: Path) -> None:
    begun = stage.run("seed", "backup", source, "--detach", "--json").json
    assert begun["pid"]
    for _ in range(60):
        if (found := jobs(stage)) and found[-1]["state"] != "running":
            break
        signal.sigtimedwait([], 0.1)
    assert [(j["kind"], j["state"]) for j in found] == [("backup", "done")]


def test_a_long_job_tells_its_progress(stage: Stage, room: Path) -> None:
    source = trees.long_tree(room / "source", files=4)
    backup(stage, source)
    (job,) = jobs(stage)
    lines = [json.loads(line) for line in Path(job["log"]).read_text().splitlines()]
    progress = [line for line in lines if line["event"] == "progress"]
    assert progress
    assert [line["read"] for line in progress] == sorted(line["read"] for line in progress)
