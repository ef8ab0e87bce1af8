"""The installed product is this checkout: commands run the files that pip installed, and tests import the checkout."""

import json
import os
import shutil
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from packaging.requirements import Requirement

from tests.packaging import tree

SOME = (
    "formats/__init__.py",
    "formats/SPEC.md",
    "importer/vault/vault.py",
    "seed/home/timers.py",
    "seed/plan/sampling/share.py",
)


def installed(root: Path, search: list[str]) -> Distribution | None:
    """Return the distribution that the commands use. One that a build left in the checkout does not count."""
    elsewhere = [path for path in search if path and Path(path).resolve() != root]
    return next(iter(distributions(name="offseed", path=elsewhere)), None)


def differences(root: Path, one: Distribution) -> list[str]:
    """Return how the files of the distribution differ from those of the checkout."""
    ours = {name: (root / name).read_bytes() for name in tree.product(root)}
    listed = [file for file in one.files or () if file.parts[0] in tree.PACKAGES and file.suffix != ".pyc"]
    theirs = {file.as_posix(): Path(str(file.locate())) for file in listed}
    missing = [name for name in ours if name not in theirs or not theirs[name].is_file()]
    return [
        *(f"{name} is not installed" for name in missing),
        *(f"{name} is installed, and not in the checkout" for name in theirs if name not in ours),
        *(
            f"{name} is installed in another version"
            for name, data in ours.items()
            if name not in missing and theirs[name].read_bytes() != data
        ),
        *_unlike_declared(root, one),
    ]


def _unlike_declared(root: Path, one: Distribution) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(line) for line in project["dependencies"]}
    found = {Requirement(line) for line in one.requires or () if "extra ==" not in line}
    programs = {entry.name: entry.value for entry in one.entry_points if entry.group == "console_scripts"}
    said = (("dependencies", declared, found), ("programs", project["scripts"], programs))
    return [f"the installed {what} are not those of pyproject.toml" for what, a, b in said if a != b]


def editable(one: Distribution) -> Path | None:
    """Return the checkout that an editable install points to, or None if the install is an ordinary one."""
    told = json.loads(one.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlsplit(told["url"]).path)).resolve()


def test_the_installed_product_is_this_checkout() -> None:
    root = tree.ROOT.resolve()
    if os.environ.get("OFFSEED_TREE") and Path(os.environ["OFFSEED_TREE"]).resolve() == root:
        first = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
        assert first and Path(first).resolve() == root, (
            "OFFSEED_TREE is set, so PYTHONPATH must put that tree first"
        )
        pytest.skip(
            "NOT TESTED: OFFSEED_TREE names this tree, a copy that commands run instead of what is installed"
        )
    one = installed(root, sys.path)
    assert one is not None, "offseed is not installed: run `pip install .`"
    if target := editable(one):
        assert target == root, f"the editable install points to {target}: run `pip install -e .` here"
        return
    found = differences(root, one)
    if found:
        pytest.fail(
            "what is installed is not this checkout: remove the folder build/ and run `pip install .` anew\n  "
            + "\n  ".join(found),
            pytrace=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a small checkout: some files of this one."""
    folder = tmp_path / "tree"
    for name in (*SOME, "pyproject.toml", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree.ROOT / name, folder / name)
    return folder


@pytest.fixture
def site(checkout: Path, tmp_path: Path) -> Path:
    """Return a folder with that copy installed in it, as from a wheel: files, metadata, and a list of both."""
    about = "offseed-0.1.dist-info"
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"Requires-Dist: {line}" for line in project["dependencies"]]
    scripts = [f"{name} = {value}" for name, value in project["scripts"].items()]
    texts = {
        "METADATA": "\n".join(["Metadata-Version: 2.4", "Name: offseed", "Version: 0.1", *lines, ""]),
        "entry_points.txt": "\n".join(["[console_scripts]", *scripts, ""]),
        "RECORD": "".join(f"{name},,\n" for name in (*tree.product(checkout), f"{about}/METADATA")),
    }
    folder = tmp_path / "site"
    for name in tree.product(checkout):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((checkout / name).read_bytes())
    (folder / about).mkdir()
    for name, text in texts.items():
        (folder / about / name).write_text(text, encoding="utf-8")
    return folder


def found_in(checkout: Path, site: Path) -> list[str]:
    one = installed(checkout, [str(checkout), str(site)])
    assert one is not None
    return differences(checkout, one)


def test_an_equal_copy_passes(checkout: Path, site: Path) -> None:
    assert found_in(checkout, site) == []


def test_a_file_that_was_not_installed_is_named(checkout: Path, site: Path) -> None:
    (checkout / "seed/new.py").write_text("", encoding="utf-8")
    (site / "formats/SPEC.md").unlink()
    assert found_in(checkout, site) == ["formats/SPEC.md is not installed", "seed/new.py is not installed"]


def test_a_file_that_was_installed_and_is_gone_is_named(checkout: Path, site: Path) -> None:
    (checkout / "seed/home/timers.py").unlink()
    assert found_in(checkout, site) == ["seed/home/timers.py is installed, and not in the checkout"]


def test_a_stale_file_is_named(checkout: Path, site: Path) -> None:
    with (site / "importer/vault/vault.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert found_in(checkout, site) == ["importer/vault/vault.py is installed in another version"]


def test_stale_dependencies_are_noticed(checkout: Path, site: Path) -> None:
    project = checkout / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace('"numpy>=2,', '"numpy>=2.1,'), encoding="utf-8")
    assert found_in(checkout, site) == ["the installed dependencies are not those of pyproject.toml"]


def test_what_a_build_left_in_the_checkout_is_not_what_is_installed(checkout: Path, site: Path) -> None:
    (checkout / "offseed.egg-info").mkdir()
    (checkout / "offseed.egg-info/PKG-INFO").write_text("Name: offseed\nVersion: 0\n", encoding="utf-8")
    assert found_in(checkout, site) == []
    assert installed(checkout, [str(checkout)]) is None


@pytest.mark.parametrize("is_editable", [True, False])
def test_an_editable_install_is_told_from_an_ordinary_one(
    is_editable: bool, checkout: Path, site: Path
) -> None:
    info = {"url": checkout.as_uri(), "dir_info": {"editable": True} if is_editable else {}}
    (site / "offseed-0.1.dist-info/direct_url.json").write_text(json.dumps(info), encoding="utf-8")
    one = installed(checkout, [str(site)])
    assert one is not None
    assert editable(one) == (checkout.resolve() if is_editable else None)
