"""The release command: it lets a good release pass, and names each fault of a bad one."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests import release

ROOT = Path(__file__).parent.parent
TODAY = datetime.now().astimezone().date()
LAST, VERSION = "90.0.0", "90.1.0"
CHANGELOG = "# Changelog\n\n## [Unreleased]\n{held}\n## [{name}] - {date}\n{text}\n## [90.0.0] - 2026-01-01\n\n- Old.\n"
Spoil = Callable[["Scratch"], None]


class Scratch:
    """A clone of the project, to be released."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *words: str) -> None:
        subprocess.run(("git", *words), cwd=self.root, check=True, capture_output=True)

    def prepare(
        self, version: str = VERSION, name: str = "", date: str = "", text: str = "\n- New.\n", held: str = ""
    ) -> None:
        """Commit and tag a release."""
        project = (self.root / "pyproject.toml").read_text("utf-8")
        before = release.Tree(self.root).version
        (self.root / "pyproject.toml").write_text(
            project.replace(f'version = "{before}"', f'version = "{version}"')
        )
        changelog = CHANGELOG.format(held=held, name=name or version, date=date or TODAY, text=text)
        (self.root / "CHANGELOG.md").write_text(changelog)
        self.git("commit", "--quiet", "--allow-empty", "--all", "--message", f"Release {version}")
        self.git("tag", "--annotate", "--force", "--message", version, f"v{version}")

    def check(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command as a user would, over this clone."""
        command = (sys.executable, "-m", "tests.release", "--tree", str(self.root), *words)
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone without the project's own tags, in which git ignores every user's configuration."""
    if not (ROOT / ".git").exists():
        pytest.skip("NOT TESTED: this is no clone of the project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ada")
            patch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
        root = tmp_path_factory.mktemp("release") / "ground"
        clone = ("git", "clone", "--quiet", "--no-tags", "--depth=1", f"file://{ROOT}", str(root))
        subprocess.run(clone, check=True, capture_output=True)
        scratch = Scratch(root)
        scratch.git("tag", "--annotate", "--message", LAST, f"v{LAST}")
        scratch.prepare()
        yield root


@pytest.fixture
def scratch(ground: Path, tmp_path: Path) -> Scratch:
    shutil.copytree(ground, tmp_path / "tree", symlinks=True)
    return Scratch(tmp_path / "tree")


@pytest.fixture(scope="module")
def built(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files that a build of the release gives; it is built once."""
    pytest.importorskip("build", reason="NOT TESTED: a release needs build, of the extra `dev`")
    pytest.importorskip(
        "setuptools", minversion="77", reason="NOT TESTED: a build needs setuptools 77, of the extra `dev`"
    )
    folder = tmp_path_factory.mktemp("built")
    release.build(release.Tree(ground), folder)
    return folder


def test_a_good_release_may_be_pushed(scratch: Scratch, built: Path) -> None:
    said = scratch.check("--dist", str(built))
    assert (said.returncode, said.stderr) == (0, "")
    assert f"v{VERSION} may be pushed" in said.stdout
    assert "notice: the tag v90.1.0 is not signed" in said.stdout


def test_what_lies_in_dist_is_compared_with_a_new_build(scratch: Scratch, built: Path) -> None:
    shutil.copytree(built, scratch.root / "dist")
    spoil_wheel(next((scratch.root / "dist").glob("*.whl")), "seed/__init__.py", b"another")
    said = scratch.check()
    assert said.returncode == 1
    assert "differs in 1 files: seed/__init__.py" in said.stdout


def untagged(scratch: Scratch) -> None:
    scratch.git("tag", "--delete", f"v{VERSION}")


def tagged_before(scratch: Scratch) -> None:
    scratch.git("commit", "--quiet", "--allow-empty", "--message", "Go on")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        pytest.param(lambda s: s.prepare("first"), "first is no version", id="no version"),
        pytest.param(lambda s: s.prepare("91.01"), "91.01 is not the usual form", id="odd version"),
        pytest.param(lambda s: s.prepare("89.0.0"), "89.0.0 is not newer than 90.1.0", id="old version"),
        pytest.param(lambda s: s.prepare(name="90.2.0"), "no section for 90.1.0", id="no section"),
        pytest.param(lambda s: s.prepare(text="\n### Added\n"), "for 90.1.0 is empty", id="empty section"),
        pytest.param(lambda s: s.prepare(date="soon"), "for 90.1.0 has no date", id="no date"),
        pytest.param(
            lambda s: s.prepare(date=str(TODAY + timedelta(days=2))), "has a date to come", id="date to come"
        ),
        pytest.param(
            lambda s: s.prepare(held="\n- Held back.\n"), 'has entries under "Unreleased"', id="held back"
        ),
        pytest.param(
            lambda s: (s.root / "README.md").write_text("changed"), "not clean: README.md", id="changed file"
        ),
        pytest.param(lambda s: (s.root / "new.txt").write_text("new"), "not clean: new.txt", id="new file"),
        pytest.param(untagged, "there is no tag v90.1.0", id="no tag"),
        pytest.param(tagged_before, "the tag v90.1.0 points to", id="tag elsewhere"),
    ],
)
def test_a_fault_is_named_and_nothing_is_built(scratch: Scratch, spoil: Spoil, what: str) -> None:
    spoil(scratch)
    said = scratch.check()
    assert said.returncode == 1
    (fault,) = [line for line in said.stdout.splitlines() if line.startswith("cannot release: ")]
    assert what in fault


def test_a_folder_that_is_no_clone_is_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    said = Scratch(tmp_path).check()
    assert said.returncode == 1
    assert "cannot release: git tag --list failed" in said.stdout


def test_a_signature_is_verified(scratch: Scratch, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("NOT TESTED: ssh-keygen is missing")
    key, known = tmp_path / "key", tmp_path / "known"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    scratch.git("config", "gpg.format", "ssh")
    scratch.git("config", "user.signingKey", str(key))
    scratch.git("config", "gpg.ssh.allowedSignersFile", str(known))
    scratch.git("tag", "--sign", "--force", "--message", VERSION, f"v{VERSION}")
    known.write_text("")
    (fault,) = release.check_tag(release.Tree(scratch.root))
    assert "the signature of v90.1.0 does not verify" in fault.what
    assert not fault.notice
    known.write_text(f"ada@example.org {key.with_suffix('.pub').read_text('utf-8')}")
    assert list(release.check_tag(release.Tree(scratch.root))) == []


def spoil_wheel(path: Path, name: str, data: bytes) -> None:
    """Write a wheel anew, with `data` in place of one file, or beside the others."""
    content = {**release.members(path), name: data}
    with zipfile.ZipFile(path, "w") as wheel:
        for member, bytes_ in content.items():
            wheel.writestr(member, bytes_)


WHEEL, SOURCE = f"offseed-{VERSION}-py3-none-any.whl", f"offseed-{VERSION}.tar.gz"
METADATA = f"offseed-{VERSION}.dist-info/METADATA"


@pytest.mark.parametrize(
    ("spoil", "faults"),
    [
        (lambda dist: None, []),
        (lambda dist: (dist / WHEEL).unlink(), [f"{WHEEL} is missing"]),
        (lambda dist: (dist / SOURCE).unlink(), [f"{SOURCE} is missing"]),
        (
            lambda dist: (dist / "offseed-1.tar.gz").touch(),
            ["offseed-1.tar.gz is of no release of this tree"],
        ),
        (lambda dist: (dist / WHEEL).write_bytes(b"no wheel"), [f"{WHEEL} cannot be read"]),
        (lambda dist: os.truncate(dist / SOURCE, 9999), [f"{SOURCE} cannot be read"]),
        (
            lambda dist: spoil_wheel(dist / WHEEL, "seed/old.py", b""),
            [f"{WHEEL} differs in 1 files: seed/old.py (too much)"],
        ),
        (
            lambda dist: spoil_wheel(dist / WHEEL, METADATA, b"Version: 1.0\n"),
            [f"{WHEEL} differs in 1 files: {METADATA}", f"{WHEEL} says that its version is 1.0"],
        ),
    ],
)
def test_each_difference_from_the_build_is_named(
    ground: Path, built: Path, tmp_path: Path, spoil: Callable[[Path], None], faults: list[str]
) -> None:
    dist = tmp_path / "dist"
    shutil.copytree(built, dist)
    spoil(dist)
    found = [problem.what for problem in release.check_dist(release.Tree(ground), dist, built)]
    assert len(found) == len(faults)
    assert all(fault in what for fault, what in zip(faults, found, strict=True))
