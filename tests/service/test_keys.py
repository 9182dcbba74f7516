"""Keys: read from files, found by their digests, and never shown."""

import asyncio
import hmac
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred.commands.keys import ROLES, Unusable, new
from service.callers.keys import KEYLESS, Caller, Keyring, KeysBroken, Role
from tests.keys import entry, secret, write
from tests.services import ROOT

NAMES = st.text("abc-._~", min_size=1, max_size=6)


def ring(tmp_path, *entries, plain=(), **settings):
    return Keyring(lambda: plain, write(tmp_path / "keys.toml", *entries), **settings)


def test_a_key_of_the_file_is_found_with_its_role_scope_and_quota(tmp_path):
    keys = ring(
        tmp_path,
        entry("door", "decide", "acme-*", requests_per_second=2.5, probes_per_identity=4),
        entry("root", "administer"),
    )

    caller = keys.find(secret("door")).caller

    assert (caller.name, caller.role, caller.galleries) == ("door", Role.DECIDE, ("acme-*",))
    assert (caller.quota.requests_per_second, caller.quota.probes_per_identity) == (2.5, 4)
    assert keys.find(secret("root")).caller.role is Role.ADMINISTER


def test_a_plain_key_may_do_everything_as_before_there_were_roles():
    caller = Keyring(lambda: ("alpha",)).find("alpha").caller

    assert (caller.role, caller.sees_everything) == (Role.ADMINISTER, True)


@pytest.mark.parametrize(
    "presented", ["", "door", "door-KE", "door-KEY ", "DOOR-KEY", "é", "\udcff"]
)
def test_what_is_no_key_is_not_found(tmp_path, presented):
    keys = ring(tmp_path, entry("door", "decide"))

    assert keys.find(presented.encode("utf-8", "replace").decode()) is None


def test_every_key_is_compared_whichever_is_presented(tmp_path, monkeypatch):
    keys = ring(tmp_path, *(entry(f"k{i}", "read") for i in range(5)))
    compared = []
    equal = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or equal(a, b))

    counts = []
    for presented in (secret("k0"), secret("k4"), "none"):
        compared.clear()
        keys.find(presented)
        counts.append(len(compared))

    assert counts == [5, 5, 5]


def test_only_digests_are_kept(tmp_path):
    keys = ring(tmp_path, entry("door", "decide"), plain=("alpha-canary",))

    assert "canary" not in repr(vars(keys)["_keys"])
    assert secret("door") not in (tmp_path / "keys.toml").read_text()


def test_a_key_is_needed_once_a_file_is_named_even_if_it_holds_none(tmp_path):
    assert ring(tmp_path).needed
    assert not Keyring().needed


def test_keys_that_are_taken_away_leave_the_door_shut():
    plain = ["alpha"]
    keys = Keyring(lambda: plain)

    plain.clear()
    keys.refresh()

    assert keys.needed
    assert keys.find("alpha") is None


def test_decide_keys_have_a_limit_per_identity_unless_they_say_none(tmp_path):
    keys = ring(
        tmp_path,
        entry("door", "decide"),
        entry("kiosk", "decide", probes_per_identity=0),
        entry("reader", "read"),
        probes_per_identity=10,
    )

    limits = [
        keys.find(secret(k)).caller.quota.probes_per_identity for k in ("door", "kiosk", "reader")
    ]

    assert limits == [10, None, None]


@pytest.mark.parametrize(
    ("told", "holds_until"),
    [
        ("2031-05-06", datetime(2031, 5, 7, tzinfo=UTC)),
        ("2031-05-06T07:08:09", datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2031-05-06T07:08:09+02:00", datetime(2031, 5, 6, 5, 8, 9, tzinfo=UTC)),
    ],
)
def test_a_key_expires_at_the_end_of_its_day_or_at_its_moment(tmp_path, told, holds_until):
    keys = ring(tmp_path, entry("door", "decide", expires=told))

    assert keys.find(secret("door")).expires == holds_until


BROKEN = {
    "no TOML": "[[key]",
    "no name": "[[key]]\nrole = 'read'\n",
    "an unknown role": entry("a", "boss"),
    "an unknown field": entry("a", "read", colour="1"),
    "an unknown table": "[keys]\n",
    "no galleries": entry("a", "read").replace('["*"]', "[]"),
    "a star inside": entry("a", "read", "a*b"),
    "a path": entry("a", "read", "../x"),
    "a digest of another length": entry("a", "read").replace('sha256 = "', 'sha256 = "0'),
    "a name that is told in logs": entry("a b", "read"),
    "a rate of nothing": entry("a", "read", requests_per_second=0),
    "a rate without end": entry("a", "read", requests_per_second="inf"),
    "a number in text": entry("a", "read", burst='"3"'),
    "a name twice": entry("a", "read") + entry("a", "enroll"),
    "a key twice": entry("a", "read") + entry("a", "read").replace('name = "a"', 'name = "b"'),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_keeps_the_keys_before_and_tells_no_value(tmp_path, content):
    keys = ring(tmp_path, entry("door", "decide"))
    write(tmp_path / "keys.toml", content)

    with pytest.raises(KeysBroken) as broken:
        keys.refresh()

    assert keys.find(secret("door")) is not None
    for value in ("boss", "a*b", "../x", "a b", "0" * 20):
        assert value not in str(broken.value)


def test_a_file_that_is_gone_keeps_the_keys_before(tmp_path):
    keys = ring(tmp_path, entry("door", "decide"))
    (tmp_path / "keys.toml").unlink()

    with pytest.raises(KeysBroken):
        keys.refresh()

    assert keys.find(secret("door")) is not None


def test_keys_are_followed_on_where_one_reading_failed_for_want_of_memory():
    """S10."""
    plain = iter([("alpha",), None, ("beta",)])
    read = asyncio.Event()

    def keys_of_now():
        if (now := next(plain, ("beta",))) is None:
            raise MemoryError
        return now

    async def follow(keys):
        following = asyncio.create_task(
            keys.follow(0.01, lambda *_: read.set() if keys.find("beta") else None)
        )
        await asyncio.wait_for(read.wait(), 10)
        following.cancel()

    keys = Keyring(keys_of_now)
    asyncio.run(follow(keys))

    assert keys.find("alpha") is None


def test_a_changed_file_is_followed_and_a_broken_one_told(tmp_path):
    keys = ring(tmp_path, entry("old", "decide"))
    told = []

    async def follow():
        following = asyncio.create_task(
            keys.follow(0.01, lambda count, broken: told.append((count, broken)))
        )
        for content, sought in (
            (entry("new", "read") + entry("more", "read"), (2, False)),
            ("[[key]", (2, True)),
            (entry("last", "read"), (1, False)),
        ):
            write(tmp_path / "keys.toml", content)
            async with asyncio.timeout(20):
                while not told or told[-1] != sought:  # noqa: ASYNC110 - it tells nobody else
                    await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(follow())

    assert keys.find(secret("old")) is None
    assert keys.find(secret("last")) is not None


@given(NAMES, NAMES)
def test_a_scope_is_a_name_or_a_beginning_with_a_star(scope, name):
    assert Caller("x", Role.READ, (scope,)).sees(name) == (scope == name)
    assert Caller("x", Role.READ, (f"{scope}*",)).sees(name) == name.startswith(scope)
    assert KEYLESS.sees(name)
    assert not Caller("x", Role.READ, ()).sees(name)


@pytest.mark.parametrize("role", ROLES)
def test_a_key_of_the_command_line_is_one_that_the_service_reads(tmp_path, role):
    key, lines = new("door-1", role, ["acme-*", "b"], 30)
    keys = ring(tmp_path, lines)

    found = keys.find(key)

    assert found.caller.role is Role[role.upper()]
    assert found.caller.galleries == ("acme-*", "b")
    assert timedelta(29) < found.expires - datetime.now(UTC) < timedelta(32)
    assert key not in lines


def test_each_key_is_another():
    assert len({new("a", "read", ["*"])[0] for _ in range(100)}) == 100
    assert len(new("a", "read", ["*"])[0]) > 40


@pytest.mark.parametrize(
    ("name", "role", "galleries"),
    [("a b", "read", ["*"]), ("a", "boss", ["*"]), ("a", "read", []), ("a", "read", ['x"'])],
)
def test_the_command_line_makes_no_key_that_would_not_be_read(name, role, galleries):
    with pytest.raises(Unusable):
        new(name, role, galleries)


def test_the_command_appends_lines_and_prints_the_key_alone(tmp_path):
    path = write(tmp_path / "keys.toml", entry("old", "read"))

    words = ["--name", "new", "--role", "enroll", "--galleries", "acme-*, b", "--into", path]
    done = subprocess.run(
        [sys.executable, "-m", "kindred", "key", "new", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    keys = Keyring(file=path)
    assert keys.find(done.stdout.strip()).caller.galleries == ("acme-*", "b")
    assert keys.find(secret("old")) is not None
    assert done.stdout.strip() not in path.read_text()
