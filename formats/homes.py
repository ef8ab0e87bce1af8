"""The ownership of a home: its owner alone works on it, below folders that no other user can change.

A home names commands to run and files to write. A user with the right to change it would act with the rights
of each user that runs a command on it. So a command on another user's home is refused before it reads
anything there.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from formats.errors import HomeError

LINKS_MAX = 40  # the limit of Linux


def home_at(chosen: str | None, side: str) -> Path:
    """Return the home that was chosen, else this user's usual one. Raises HomeError home-foreign."""
    home = Path(chosen) if chosen else usual_home(side)
    check_own(home)
    return home


def usual_home(side: str) -> Path:
    """Return the place that the platform gives to the state of `seed` or `importer`."""
    import platformdirs  # costs more than all of this module

    return Path(platformdirs.user_data_dir("offseed")) / side


def check_own(home: Path) -> None:
    """Refuse a home that another user owns or could exchange. Raises HomeError home-foreign."""
    if sys.platform == "win32":
        return  # Windows closes the profile of each user to the others
    me = os.geteuid()
    trusted = {0, me, os.stat("/").st_uid}  # in a user namespace root has another number
    for place, found in _way(os.path.abspath(home)):
        is_folder, is_home = stat.S_ISDIR(found.st_mode), place == os.path.realpath(home)
        if found.st_uid not in ({me} if is_home and is_folder else trusted):
            raise _owned_by(home, place, _name(found.st_uid))
        shared = found.st_mode & stat.S_ISVTX and not is_home
        if is_folder and found.st_mode & stat.S_IWOTH and not shared:
            raise _open_to_all(home, place)


def make_private(folder: Path) -> None:
    """Make a folder and its missing parents for the owner alone, under any umask. Raises OSError."""
    if not folder.is_dir():
        if folder.parent != folder:
            make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each folder and each link on the way to `path`, as far as they exist and this user may look."""
    left = [part for part in reversed(path.split("/")) if part]
    here, links = "/", 0
    with suppress(OSError):
        yield here, os.lstat(here)
        while left:
            part = left.pop()
            if part == "..":
                here = os.path.dirname(here)
                continue
            place = os.path.join(here, part)
            found = os.lstat(place)
            yield place, found
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(place)
                left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                here = "/" if target.startswith("/") else here
                links += 1
                if links > LINKS_MAX:
                    return
            else:
                here = place


def _owned_by(home: Path, place: str, owner: str) -> HomeError:
    return HomeError(
        "home-foreign",
        f"this home belongs to another user: {owner} owns {place}",
        subject=str(home),
        hint=f"run the command as {owner}, without sudo; or choose a home of your own by SEED_HOME or IMPORTER_HOME",
    )


def _open_to_all(home: Path, place: str) -> HomeError:
    return HomeError(
        "home-foreign",
        f"another user could change this home: every user may write in {place}",
        subject=str(home),
        hint=f"take this right away, as by `chmod o-w`, from {place}; or choose another home by SEED_HOME or IMPORTER_HOME",
    )


def _name(user: int) -> str:
    if sys.platform != "win32":
        import pwd

        with suppress(KeyError):
            return pwd.getpwuid(user).pw_name
    return f"user {user}"
