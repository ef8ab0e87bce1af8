"""The systems on which nobody has tried these programs, and the parts of files that they leave out there.

The tests run on Linux alone. All code for another system stands below a test of `sys.platform`, or in a module
called `windows.py` or `macos.py`.
"""

from collections.abc import Iterator

UNTRIED = {"darwin": "macOS", "win32": "Windows"}
LEFT_OUT = {"darwin": "extended attributes, resource forks and access control lists"}
OF_FILES = {"seed backup", "seed export", "seed resend", "seed restore"}


def warnings(platform: str, command: str) -> Iterator[str]:
    """Yield the notices that a run of a command on this platform, as `sys.platform` names it, must begin with."""
    if (system := UNTRIED.get(platform)) is None:
        return
    yield f"nobody has tested this program on {system} yet: check its results"
    if command in OF_FILES and platform in LEFT_OUT:
        yield f"on {system} {LEFT_OUT[platform]} are left out"
