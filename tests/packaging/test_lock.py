"""The lock satisfies pyproject.toml: each requirement has a version within its bounds, with hashes, on every platform."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import lock
from tests.packaging.tree import ROOT

HASH = f"--hash=sha256:{'0' * 64}"
HEAD = "--only-binary :all:\n\n"
WANTED = [Requirement("thing>=1,<2")]


def text(*lines: str) -> str:
    """Return a lock with these entries, each with a hash."""
    return HEAD + "".join(f"{line} \\\n    {HASH}\n" for line in lines)


def test_the_lock_satisfies_pyproject() -> None:
    assert lock.flaws(lock.wanted(ROOT), (ROOT / lock.LOCK).read_text(encoding="utf-8")) == []


def test_every_requirement_has_an_upper_bound() -> None:
    others = [one for one in lock.declared(ROOT) if one.name != "offseed"]  # an extra may take in another one
    assert len(others) > 20
    for requirement in others:
        assert any(one.operator == "<" for one in requirement.specifier), requirement


def test_a_good_lock_passes() -> None:
    assert lock.flaws(WANTED, text("thing==1.5", "other==3")) == []
    both = text("thing==1.5 ; python_full_version < '3.12'", "thing==1.6 ; python_full_version >= '3.12'")
    assert lock.flaws(WANTED, both) == []
    assert (
        lock.flaws(
            WANTED, HEAD + "# a comment\nThing==1.5 \\\n" + f"    {HASH} \\\n    {HASH}\n    # via x\n"
        )
        == []
    )


@pytest.mark.parametrize(
    ("written", "flaw"),
    [
        (text("other==3"), "thing<2,>=1: not in the lock"),
        (text("thing==2.0"), "thing<2,>=1: the lock has 2.0"),
        (text("thing>=1"), "thing>=1: no single version"),
        (text("thing==1.*"), "thing==1.*: no single version"),
        (HEAD + "thing==1.5\n", "thing==1.5: no hash, or a malformed one"),
        (HEAD + "thing==1.5 --hash=sha256:00\n", "thing==1.5: no hash, or a malformed one"),
        (text("thing==1.5").removeprefix(HEAD), "the lock allows source distributions: `--only-binary :all:` is missing"),
        ("--index-url https://example.org\n" + text("thing==1.5"), "the lock names a place to download from"),
        (text("thing==1.5", "thing==1.6 ; sys_platform == 'win32'"), "thing<2,>=1: 2 entries for Python 3.11 on win32"),
        (text("thing==1.5 ; sys_platform != 'darwin'"), "thing<2,>=1: 0 entries for Python 3.14 on darwin"),
    ],
)  # fmt: skip
def test_a_flaw_is_named(written: str, flaw: str) -> None:
    assert flaw in lock.flaws(WANTED, written)


def test_the_check_reads_the_files_and_ends_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("tests/__init__.py", "tests/lock.py", "pyproject.toml", lock.LOCK):
        shutil.copy(ROOT / name, tmp_path / name)
    assert run(tmp_path, "--check").returncode == 0
    project = tmp_path / "pyproject.toml"
    changed = project.read_text(encoding="utf-8").replace('"tqdm>=4.66,<5"', '"tqdm>=4.66,<4.67"')
    project.write_text(changed, encoding="utf-8")
    done = run(tmp_path, "--check")
    assert done.returncode == 1
    assert "tqdm<4.67,>=4.66: the lock has" in done.stderr
    assert run(tmp_path, "--chekc").returncode == 2


def test_where_uv_or_its_index_is_missing_the_old_lock_stays(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("tests/__init__.py", "tests/lock.py", "pyproject.toml", lock.LOCK):
        shutil.copy(ROOT / name, tmp_path / name)
    before = (tmp_path / lock.LOCK).read_bytes()
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_CACHE_DIR": str(tmp_path / "cache")}
    done = run(tmp_path, **nowhere, UV_HTTP_RETRIES="0")
    assert done.returncode == 1
    if importlib.util.find_spec("uv"):
        assert "127.0.0.1:9" in done.stderr, "the index of pip is passed on"
    else:
        assert "No module named uv" in done.stderr
    assert "cannot renew requirements.lock: uv ended with code" in done.stderr
    assert (tmp_path / lock.LOCK).read_bytes() == before


def run(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.lock", *words],
        cwd=folder,
        env={**{n: v for n, v in os.environ.items() if n != "PYTHONPATH"}, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
