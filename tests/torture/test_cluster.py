"""Why a Redis Cluster is refused: while a slot moves, a script can do half of what it does."""

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.servers import Server, StartServer, free_port

ROOT = "kindred:{g}:gallery"
RECORD = "kindred:{g}:0:identity:1"
WRITE = f"""#!lua
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', '{RECORD}', 'name', 'somebody')"""  # as ours: it names the keys below the root


@pytest.fixture
def nodes(start_server: StartServer) -> list[tuple[Server, int, int]]:
    """Two nodes that know each other, with their ports; the first has all slots."""
    made = []
    for _ in range(2):
        port, bus = free_port(), free_port()
        ports: dict[str, Any] = {"port": port, "cluster-port": bus}
        made.append((start_server(cluster_enabled="yes", **ports), port, bus))
    (first, _, _), (_, port, bus) = made
    first.command("CLUSTER ADDSLOTSRANGE 0 16383")
    first.command(f"CLUSTER MEET 127.0.0.1 {port} {bus}")
    for node, _, _ in made:
        node.wait("CLUSTER INFO", "cluster_state:ok")
        node.wait("CLUSTER INFO", "cluster_known_nodes:2")
    return made


@pytest.mark.slow
def test_a_script_does_half_a_write_while_its_slot_moves(
    nodes: list[tuple[Server, int, int]],
) -> None:
    (first, _, _), (second, port, _) = nodes
    here, there = (Redis.from_url(s.url, single_connection_client=True) for s in (first, second))
    with here, there:
        here.hset(ROOT, "version", 1)
        here.hset(RECORD, "name", "nobody")
        slot = here.execute_command("CLUSTER KEYSLOT", ROOT)
        ours, theirs = (node.execute_command("CLUSTER MYID") for node in (here, there))
        there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ours)
        here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", theirs)
        here.execute_command("MIGRATE", "127.0.0.1", port, RECORD, 0, 5000)

        with pytest.raises(ResponseError, match="non local key"):
            here.eval(WRITE, 1, ROOT)

        assert here.hget(ROOT, "version") == b"2"  # counted, and yet …
        there.execute_command("ASKING")
        assert there.hget(RECORD, "name") == b"nobody"
