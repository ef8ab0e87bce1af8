"""`python -m tests.journeys.pictures --out DIR`: labels, packing slip and both reports as PNG files.

They show two weeks of backups. Headless Chromium renders the pages for a person to check.
The pictures are light and dark, on a desk and on a phone.
`--docs` renews the pictures of README, in `docs/pictures`. Needs `chromium` and `faketime`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.journeys.stage import ROOT, Stage, disks, flip, to

assert sys.platform == "linux"

DESK, PHONE, HEAD = (1000, 3600), (420, 4400), (1000, 780)
COLOURS = 128  # of a picture in docs/, which so stays far below 100 KB
DOCS = ROOT / "docs" / "pictures"
DARK = ("@media (prefers-color-scheme: dark)", "@media all")  # headless, no user prefers dark


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path)
    where.add_argument("--docs", dest="out", action="store_const", const=DOCS)
    out = parser.parse_args().out
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or shutil.which("faketime") is None:
        print("needs chromium and faketime")
        return 1
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pages = life(Path(folder))
        if out == DOCS:
            illustrate(browser, Path(folder), out)
        else:
            shoot_all(browser, pages, out)
    print(*sorted(out.iterdir()), sep="\n")
    return 0


def illustrate(browser: str, folder: Path, out: Path) -> None:
    """Write the pictures of README: the label of a disk in full, and the top of a server's report."""
    (label,) = folder.glob("*-disk-1.svg")
    shutil.copyfile(label, out / "label.svg")
    shoot(browser, folder / "report-seed.html", folder / "report.png", HEAD)
    with Image.open(folder / "report.png") as shot:
        shot.convert("RGB").quantize(COLOURS).save(out / "report.png", optimize=True)


def shoot_all(browser: str, pages: list[Path], out: Path) -> None:
    for page in pages:
        shoot(browser, page, out / f"{page.stem}.png", DESK)
    for page in pages[-2:]:
        dark = page.with_name(f"{page.stem}-dark.html")
        dark.write_text(page.read_text(encoding="utf-8").replace(*DARK), encoding="utf-8")
        shoot(browser, dark, out / f"{dark.stem}.png", DESK)
        shoot(browser, page, out / f"{page.stem}-phone.png", PHONE)


def life(folder: Path) -> list[Path]:
    """Make two weeks of backups, and return the pages about them.

    There are three disks: one came damaged, and one is on its way. The machine makes one backup a day.
    """
    stage, source = Stage(folder / "stage"), folder / "source"
    shutil.copytree("/usr/share/doc", source / "doc", symlinks=True, ignore_dangling_symlinks=True)
    (source / "film").write_bytes(os.urandom(90 << 20))

    def on(day: int, program: str, *words: object, code: int | None = 0) -> None:
        stage.command = lambda name: ("faketime", "-f", f"-{day}d", str(Path(sys.executable).parent / name))
        stage.run(program, *words, code=code)

    paths = disks(stage, 3)
    on(13, "importer", "vault", "create", "Backups", "--at", stage.at, "--region", "here")
    on(13, "importer", "credentials", "issue", "--out", stage.credential)
    on(
        13,
        "seed",
        "register",
        "--credential",
        stage.credential,
        "--name",
        "web1",
        "--generate-passphrase",
        stage.secret,
    )
    on(13, "seed", "export", source, *to(*paths), "--use-at-most", "60MiB")
    on(13, "seed", "verify", *paths)
    on(13, "importer", "machines", "list")
    on(12, "seed", "set", "ship", "--carrier", "DHL", "--tracking", "00340434")
    archive = max(paths[0].glob("offseed/*/archives/*/*"), key=lambda p: p.stat().st_size)
    flip(archive, archive.stat().st_size // 2)
    for day in range(11, 0, -1):
        (source / f"new {day}").write_bytes(os.urandom(day * 600_000))
        on(day, "seed", "backup")
        if day == 8:
            on(day, "importer", "import", *paths[:2], code=3)
    on(0, "seed", "set", "labels", "--out", folder, "--contact", "Example Ltd, +44 20 7946 0000")
    on(0, "seed", "report", "--out", folder / "report-seed.html")
    on(0, "importer", "report", "--out", folder / "report-vault.html")
    return [folder / f"{name}.html" for name in ("labels", "slip", "report-seed", "report-vault")]


def shoot(browser: str, page: Path, out: Path, window: tuple[int, int]) -> None:
    size = ",".join(map(str, window))
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={page.parent}/browser",
         f"--window-size={size}", f"--screenshot={out.absolute()}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
