"""Progress on stderr: a bar on a terminal, else a line now and then."""

import io
import os
import termios
import time

import pytest

from kindred.commands.terminal import EVERY, progress, warn


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def shown_by(terminal):
    """Return the lines that somebody sees, where each is written over what stood there."""
    lines = []
    for line in terminal.getvalue().split("\n"):
        seen = ""
        for text in line.split("\r"):
            seen = text + seen[len(text) :]
        lines.append(seen.rstrip())
    return lines


def test_lines_tell_how_far_it_is_even_while_nothing_is_done(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)

    with progress("enroll", 40, unit="files", every=0.02) as advance:
        advance(3)
        wait_for(lambda: told.getvalue().count("\n") > 2)

    assert "enroll: 3 of 40 files, 0 s\n" in told.getvalue()
    assert "\x1b" not in told.getvalue()
    assert "\r" not in told.getvalue()


def test_what_is_soon_done_is_not_told_of_in_a_file(capsys):
    with progress("enroll", 40) as advance:
        advance(40)

    assert capsys.readouterr().err == ""
    assert EVERY == 10


def test_a_bar_is_drawn_in_its_line_and_taken_away(monkeypatch):
    told = Terminal()
    monkeypatch.setattr("sys.stderr", told)

    with progress("enroll", 40) as advance:
        advance(20)
        wait_for(lambda: "20 of 40" in told.getvalue())

    half = "█" * 15 + " " * 15
    assert f"\r[{half}] enroll: 20 of 40, 0 s" in told.getvalue()
    assert shown_by(told) == [""]


def test_a_line_takes_the_place_of_the_bar(monkeypatch):
    told = Terminal()
    monkeypatch.setattr("sys.stderr", told)
    monkeypatch.setattr("kindred.commands.terminal.REDRAWN", 0.01)

    with progress("enroll", 40):
        wait_for(lambda: "0 of 40" in told.getvalue())
        warn("1.png: not a picture")

    assert shown_by(told) == ["1.png: not a picture", ""]


def test_a_bar_is_no_wider_than_its_terminal_and_asks_nothing_of_it(monkeypatch):
    reader, writer = os.openpty()
    termios.tcsetwinsize(writer, (24, 40))
    with os.fdopen(writer, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with progress("enroll", 1000, unit="files") as advance:
            advance(500)
            time.sleep(0.3)
    told = os.read(reader, 65536).decode()
    os.close(reader)

    assert "] enroll" in told
    assert "\x1b" not in told
    assert max(map(len, told.split("\r"))) < 40


def test_an_error_ends_it(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())

    with pytest.raises(ZeroDivisionError), progress("enroll"):
        raise ZeroDivisionError
