import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from service.edge.clients import prefers_html, while_there

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json, text/html;q=0.9", False),
        ("application/json;q=0.1, TEXT/HTML; q=0.2", True),
        ("text/html;q=0", False),
        ("text/html;q=nonsense", False),
        ("text/html, application/json", False),
    ],
)
async def test_a_page_is_for_who_likes_it_better(accept, html):
    assert prefers_html(accept) is html


def request(leaves):
    async def receive():
        await leaves.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


async def test_work_is_done_for_who_waits():
    async def work():
        await asyncio.sleep(0)
        return 7

    assert await while_there(request(asyncio.Event()), work()) == 7


async def test_what_goes_wrong_is_told_to_who_waits():
    async def work():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await while_there(request(asyncio.Event()), work())


async def test_work_has_ended_when_its_client_is_found_gone():
    leaves, ended = asyncio.Event(), []

    async def work():
        leaves.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(ClientDisconnect):
        await while_there(request(leaves), work())
    assert ended == [True]


async def test_work_has_ended_when_its_deadline_has_passed():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await while_there(request(asyncio.Event()), work())
    assert ended == [True]
