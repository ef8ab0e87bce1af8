"""The frame around both commands."""

from pathlib import Path

import pytest

from formats.shell.crash_guard import FAILED, STOPPED, framed


def test_ctrl_c_while_python_makes_a_class_is_a_stop(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Stop at Ctrl-C while Python makes a class, though Python wraps it into an error of its own."""

    class Interrupting:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    def work() -> int:
        type("Made", (), {"member": Interrupting()})
        return 0

    assert framed("seed", work, lambda: tmp_path) == STOPPED
    assert capsys.readouterr().err.endswith("seed: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_told_in_two_lines_and_logged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def work() -> int:
        raise RuntimeError("what is this?")

    assert framed("seed", work, lambda: tmp_path) == FAILED
    (log,) = tmp_path.iterdir()
    shown = capsys.readouterr().err
    assert "[internal]" in shown
    assert str(log) in shown
    assert "what is this?" in log.read_text()


def test_ctrl_c_in_the_last_moment_is_a_stop(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("signal.getsignal", interrupt)
    assert framed("seed", lambda: 0, lambda: tmp_path) == STOPPED
    assert capsys.readouterr().err.endswith("seed: stopped\n")
