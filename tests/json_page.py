"""The writer of docs/json.md: `python -m tests.json_page` makes an example of each command's document, from real runs.

The story below is played in a temporary folder that replaces the root of the file system. It needs Linux and an
Azurite (`python -m tests.azurite`).
"""

import json
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.azurite import ACCOUNT, Azurite
from tests.commands import cold
from tests.journeys import trees
from tests.journeys.containers import SECRET
from tests.journeys.stage import PASSPHRASE, Stage, flip
from tests.json_schema import LISTS, is_error, name_of

assert sys.platform == "linux"

PAGE: Final = Path(__file__).parent.parent / "docs/json.md"
WIDTH: Final = 118
ITEMS_MAX: Final = (
    2  # of a list of objects, and so many lines of a command that prints one document on each line
)
WORDS_MAX: Final = 7  # of any other list
SERVICE: Final = ("azblob://account/", f"azblob://{ACCOUNT}/")  # as shown, and as played
_ABSOLUTE = re.compile(r"(?<![^:])/(?=(?:mnt|root|srv)\b)")

# Paths are below the temporary folder. `{set}` is the newest disk set, `{web1}` a fingerprint: see `Story._known`.
# A line that begins with `.` is played and not shown; a line without a program names a method of `Story`.
PLAY: Final = """
importer vault create Backups --at /srv/vault --region west-europe
importer vault set-redundancy local
importer vault show
importer credentials issue --out /root/web1.credential
seed register --credential /root/web1.credential --name web1 --passphrase-file /root/passphrase
seed completion bash
importer completion bash
seed disks
seed demo /srv/www/docs
seed items set /srv/www --exclude '*.tmp'
seed items show
seed plan /srv/www --uplink 20mbit --disk-size 4TB
seed export --dry-run --to /mnt/disk1
seed export --to /mnt/disk1
seed set labels --out /root/labels --contact Example
seed set show
seed verify /mnt/disk1
importer inspect /mnt/disk1 --read
seed set ship --carrier DHL
importer receive {set}/1
importer import /mnt/disk1
importer status
importer points
seed points
seed ls latest:/srv/www
seed ls latest --parquet /root/files.parquet
seed find photo.raw
change
seed backup
seed diff {point} latest
seed verify
seed restore latest:/srv/www/docs --target /root/restored --verify
importer export latest --machine web1 --to /mnt/disk7
seed backup --detach
seed jobs --follow
seed jobs
seed schedule set --daily 09:00 --daily 21:00
seed schedule show
seed schedule install --to /root/timers
seed schedule remove
seed notify set --command true
seed notify show
seed notify test
importer notify set --command true --on failure
importer notify show
importer notify test
seed key add --new-passphrase-file /root/another
seed key show --passphrase-file /root/another
seed key remove {slot}
seed key change --passphrase-file /root/passphrase --new-passphrase-file /root/another
importer machines drop-keys {web1}
seed proxy set http://proxy:3128
seed proxy show
seed proxy off
seed throttle set --work-rate 512kbit --other-rate 100mbit
seed throttle show
seed throttle off
seed retention set --daily 180 --monthly 60@first-sun
seed retention show
importer prune --dry-run
importer prune
damage
importer validate
seed repair
seed report --out /root/report.html
importer report --out /root/vault.html
empty
seed backup
seed status
seed notify check
importer notify check
seed items confirm
refill
.seed export --again --once /srv/video --to /mnt/disk2 --use-at-most 8MB
seed set abandon
seed set resume
.seed export --again --once /srv/video --to /mnt/disk2 --to /mnt/disk3
seed resend {set}/1
importer jobs
.importer credentials issue --out /root/web2.credential
web2
importer machines accept {web2}
importer machines list
importer machines revoke {web2}
importer machines accept-loss {web1} --dry-run
seed ls nothing
lose_all
importer vault recreate Backups --at /srv/vault --region west-europe
container
.importer vault create Offsite --at azblob://account/offsite --region west-europe
importer access issue --vault azblob://account/offsite --out /root/web1.access
seed access set /root/web1.access
seed access show
importer access revoke --vault azblob://account/offsite
"""

HEAD: Final = """# The output of --json

Every command of `seed` and `importer` takes `--json`. Scripts can rely on this output:

- The result is one document on standard output. Progress, notices and messages go to standard error.
- `seed ls`, `seed find`, `seed diff` and `jobs --follow` print one document on each line, because their lists are long.
- A command that cannot do its work prints [an error](#errors) in place of its result. `error.code` never changes its
  meaning.
- Anomalies that do not stop the work are `findings`. They turn exit code 0 into 3.
- Sizes are in bytes. Times are in seconds since 1970 (UTC), durations in seconds. Other units are part of the name.
- Names of files that are not UTF-8 contain the lone surrogates of Python's `surrogateescape`.
- A later version may add members. Ignore members that you do not know.

The [JSON Schema](../formats/shell/output.schema.json) describes each member. Each command has a definition below `$defs`,
under its words, joined by hyphens: `seed set show` has `seed-set-show`, and errors have `error`. The schema is part of the
installation:

```sh
python -c "from importlib.resources import files; print(files('formats.shell') / 'output.schema.json')"
```

The schema allows no members that it does not describe, so that our tests notice each new one. To accept output of later
versions, do not apply `additionalProperties`.

The examples below are real output, shortened: of long lists they show the first elements. `python -m tests.json_page`
makes this page.
"""

ERRORS: Final = """
## Errors

`others` lists further errors of the same run, and `findings` the anomalies until then. Both may be absent. Codes are in
`formats/errors.py`; [OPERATIONS](../importer/OPERATIONS.md) explains those that an operator meets.
"""


class Story:
    """The play in a folder, and the examples that it gives: by definition, command lines with their documents."""

    def __init__(self, root: Path, azurite: Azurite) -> None:
        self.root = root
        self.examples: dict[str, list[tuple[str, list[Any]]]] = {}
        self.stage = Stage(root / "root")
        self.stage.command = cold("")  # forks of the server guess passphrases at less cost than users do
        self.stage.home = root / "root/seed"
        self.stage.importer_home = root / "root/importer"
        self._azurite = azurite
        self._environment: dict[str, str | Path | None] = {"IMPORTER_VAULT": root / "srv/vault"}
        self._facts: dict[str, str] = {}
        for name, text in (("passphrase", PASSPHRASE), ("another", f"{PASSPHRASE} again")):
            (root / "root" / name).write_text(text)
            (root / "root" / name).chmod(0o600)
        for number in (1, 2, 3, 7):
            (root / f"mnt/disk{number}").mkdir(parents=True)
        trees.small_tree(root / "srv/www")
        trees.small_file(root / "srv/video/film.raw", trees.incompressible(12 * trees.MIB, 3))

    def play(self) -> None:
        """Run all lines. Raises AssertionError if a command fails, or prints a document that the schema does not allow."""
        for line in PLAY.split("\n")[1:-1]:
            program = line.lstrip(".").partition(" ")[0]
            if program in ("seed", "importer"):
                self.run(line.lstrip("."), shown=not line.startswith("."))
            else:
                getattr(self, line)()

    def run(self, line: str, *, shown: bool) -> None:
        """Run a command, and keep its output."""
        line = re.sub(r"\{(\w+)\}", lambda found: self._facts[found[1]], line)
        words = [_ABSOLUTE.sub(f"{self.root}/", word).replace(*SERVICE) for word in shlex.split(line)]
        result = self.stage.run(words[0], *words[1:], "--json", code=None, **self._environment)
        found = [json.loads(text) for text in self._plain(result.stdout).splitlines()]
        failed = is_error(found[0])
        assert not failed or not shown or line == "seed ls nothing", result
        name = "error" if failed else name_of(line.split())
        assert name is not None, line
        self._learn(found[0])
        if shown:
            self.examples.setdefault(name, []).append((line, found))

    def _plain(self, text: str) -> str:
        """Return an output as if the temporary folder was the root."""
        return text.replace(str(self.root), "").replace(*SERVICE[::-1])

    def _learn(self, document: Any) -> None:
        """Keep the ids that later lines of the play name."""
        for name in ("set", "point", "slot", "fingerprint"):
            if isinstance(document, dict) and isinstance(value := document.get(name), str):
                key = document["name"] if name == "fingerprint" and "name" in document else name
                if name != "point" or key not in self._facts:
                    self._facts[key] = value if name in ("slot", "fingerprint") else value[:8]

    def change(self) -> None:
        (self.root / "srv/www/docs/0/letter 0.txt").write_text("changed")
        (self.root / "srv/www/new.txt").write_text("new")

    def empty(self) -> None:
        (self.root / "srv/www").rename(self.root / "srv/elsewhere")
        (self.root / "srv/www").mkdir()

    def refill(self) -> None:
        (self.root / "srv/www").rmdir()
        (self.root / "srv/elsewhere").rename(self.root / "srv/www")

    def damage(self) -> None:
        archives = [path for path in (self.root / "srv/vault/archives").rglob("*") if path.is_file()]
        flip(max(archives, key=lambda path: path.stat().st_size), 400_000)

    def web2(self) -> None:
        room = self.root / "root"
        words = ("--credential", room / "web2.credential", "--passphrase-file", room / "another")
        made = self.stage.run("seed", "register", *words, "--name", "web2", "--json", SEED_HOME=room / "web2")
        self._facts["web2"] = made.json["fingerprint"]

    def lose_all(self) -> None:
        shutil.rmtree(self.root / "srv/vault")

    def container(self) -> None:
        self._environment = {SECRET: self._azurite.connection_string()}


def page(examples: dict[str, list[tuple[str, list[Any]]]], commands: list[str]) -> str:
    """Return the page: errors, then all commands in the order of the help."""
    parts = [HEAD, ERRORS, *(_example(*one) for one in examples["error"])]
    for program in ("seed", "importer"):
        parts.append(f"\n## Commands of `{program}`\n")
        for title in commands:
            if title.startswith(f"{program} "):
                parts.append(f"\n### {title}\n")
                parts += [_example(*one) for one in examples[title.replace(" ", "-")]]
    return "".join(parts)


def _example(line: str, documents: list[Any]) -> str:
    one_each = (
        name_of(line.split()) in LISTS
        and not re.search(r" jobs$|--parquet", line)
        and not is_error(documents[0])
    )
    short = [_short(one) for one in documents[:ITEMS_MAX]]
    shown = [json.dumps(one, ensure_ascii=False) for one in short] if one_each else [_laid_out(short[0])]
    return "\n".join(
        ["", "```sh", f"{line} --json", "```", "", f"```json{'l' * one_each}", *shown, "```", ""]
    )


def _short(value: Any) -> Any:
    """Return a value with the first elements of its lists, and the first line of its texts."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        most = ITEMS_MAX if value and isinstance(value[0], dict) else WORDS_MAX
        return [_short(each) for each in value[:most]]
    return f"{value.partition(chr(10))[0]}…" if isinstance(value, str) and "\n" in value else value


def _laid_out(value: Any, pad: int = 0, before: int = 0) -> str:
    """Return JSON with a member a line, and small values on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or pad + before + len(line) <= WIDTH:
        return line
    inner = " " * (pad + 2)
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(n)}: {_laid_out(v, pad + 2, len(n) + 5)}" for n, v in value.items()]
    else:
        rows = [inner + _laid_out(each, pad + 2, 1) for each in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([first, ",\n".join(rows), f"{' ' * pad}{last}"])


def main() -> int:
    from tests.hostile.neighbour.commands import leaves

    azurite = Azurite.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            story = Story(Path(folder), azurite)
            story.play()
    finally:
        azurite.stop()
    commands = [*leaves()]
    if missing := [title for title in commands if title.replace(" ", "-") not in story.examples]:
        print(f"cannot write {PAGE}: the play lacks {', '.join(missing)}", file=sys.stderr)
        return 1
    PAGE.write_text(page(story.examples, commands), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
