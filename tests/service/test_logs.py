"""The log: one JSON object a line, and nothing in it that must stay private."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.watching.logs import configure_logging, request_line


@pytest.fixture(autouse=True)
def _other_logging_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_request_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)

    request_line(
        request_id="r1",
        method="POST",
        route="/identify",
        status=200,
        ms=12.34567,
        comparator="ink@1",
        gallery="_other",
        samples=3,
        outcomes={"match": 1, "unknown": 2},
        timings_ms={"decode": 1.23456},
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )

    (line,) = lines(capsys)
    line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "kindred.requests",
        "id": "r1",
        "method": "POST",
        "route": "/identify",
        "status": 200,
        "ms": 12.346,
        "comparator": "ink@1",
        "gallery": "_other",
        "samples": 3,
        "outcomes": {"match": 1, "unknown": 2},
        "timings_ms": {"decode": 1.235},
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


@pytest.mark.parametrize(("status", "level"), [(404, "info"), (503, "info"), (500, "error")])
def test_only_a_defect_of_ours_is_logged_as_an_error(
    status: int, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(json=True)

    request_line(request_id="r", method="GET", route="/", status=status, ms=1)

    assert lines(capsys)[0]["level"] == level


def test_a_traceparent_that_is_none_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)

    request_line(
        request_id="r", method="GET", route="/", status=200, ms=1, traceparent="00-SECRET\n"
    )

    assert "traceparent" not in lines(capsys)[0]


def look_up(identity: str) -> None:
    nobody: dict[str, int] = {}
    try:
        nobody[identity]
    except KeyError as error:
        raise ValueError(f"no {identity}") from error


@pytest.mark.parametrize("name", ["uvicorn.error", "service.app", "asyncio"])
def test_an_exception_is_logged_by_place_and_never_by_message(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(json=True)

    try:
        look_up("SECRET identity")
    except ValueError:
        logging.getLogger(name).exception("it failed")
        structlog.stdlib.get_logger("kindred").exception("it failed")

    foreign, ours = lines(capsys)
    assert "SECRET" not in json.dumps([foreign, ours])
    assert foreign["exceptions"] == ours["exceptions"]
    outer, inner = ours["exceptions"]
    assert (outer["type"], inner["type"]) == ("builtins.ValueError", "builtins.KeyError")
    assert outer["frames"][0].endswith("test_an_exception_is_logged_by_place_and_never_by_message")


def test_what_libraries_tell_at_debug_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", json=True)

    logging.getLogger("python_multipart.multipart").debug("Calling on_part_data with SECRET")
    logging.getLogger("uvicorn.access").info("GET /galleries/default/identities/SECRET")
    structlog.stdlib.get_logger("service.app").debug("ours")

    assert [line["event"] for line in lines(capsys)] == ["ours"]


def test_uvicorn_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)

    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    (line,) = lines(capsys)
    assert (line["event"], line["logger"]) == ("Started server process [7]", "uvicorn.error")


def test_people_get_columns_without_braces(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=False)

    request_line(request_id="r1", method="GET", route="/metrics", status=200, ms=1)

    out = capsys.readouterr().out
    assert "route=/metrics" in out
    assert "\x1b" not in out
    assert not out.startswith("{")
