"""Who is waited for, for how long, and who makes room."""

import asyncio
import socket
from types import SimpleNamespace

from service.edge.connections import Connections, Patience, Stage
from service.edge.protocol import BoundedProtocol


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Client:
    """A connection that remembers what it was ended for."""

    def __init__(self):
        self.ended = None
        self.left = 0
        self.came = 0
        self.has_asked = False

    def asks(self):
        return self.has_asked

    def sent(self):
        return self.came

    def unread(self):
        return self.left

    def give_up(self, stage):
        self.ended = stage


def make(most=100):
    clock, reasons = Clock(), []
    patience = Patience(most, idle=10, head=5, unread=30, leaving=2)
    return Connections(patience, reasons.append, clock), clock, reasons


def enter(connections, stage=Stage.IDLE):
    client = Client()
    assert connections.enter(client)
    connections.wait(client, stage)
    return client


def test_each_is_ended_when_the_time_for_its_step_is_over_and_not_before():
    connections, clock, reasons = make()
    idle, head, leaving, body = (
        enter(connections, s) for s in (Stage.IDLE, Stage.HEAD, Stage.LEAVING, Stage.BODY)
    )

    ended = []
    for _ in range(12):
        clock.now += 0.99
        connections.sweep()
        ended.append([one.ended for one in (idle, head, leaving, body)])

    assert [[bool(one) for one in row].index(False) for row in ended[:2]] == [0, 0]
    first = [next(i for i, row in enumerate(ended) if row[k]) for k in range(3)]
    assert first == [10, 5, 2]
    assert body.ended is None
    assert sorted(reasons) == ["head", "idle", "leaving"]
    assert len(connections) == 1


def test_what_goes_on_is_waited_for_anew():
    connections, clock, _ = make()
    client = enter(connections)

    for _ in range(5):
        clock.now += 9
        connections.wait(client, Stage.IDLE)
        connections.sweep()
    connections.go_on(client)
    clock.now += 1000
    connections.sweep()

    assert client.ended is None


def test_an_answer_that_is_not_read_ends_and_one_that_is_read_slowly_does_not():
    connections, clock, reasons = make()
    stuck, slow, done = (enter(connections) for _ in range(3))
    for client in (stuck, slow, done):
        connections.go_on(client)
        client.left = 2**24

    for _ in range(120):
        connections.sweep()
        clock.now += 1
        slow.left -= 2**16
        done.left = 0

    assert stuck.ended == Stage.READING
    assert (slow.ended, done.ended) == (None, None)
    assert reasons == ["unread"]


def test_who_has_been_waited_for_longest_makes_room():
    connections, clock, reasons = make(most=3)
    asking, old, young = (enter(connections, s) for s in (Stage.BODY, Stage.HEAD, Stage.IDLE))
    connections.go_on(asking)

    newcomers = []
    for _ in range(3):
        clock.now += 1
        newcomers.append(enter(connections))

    assert (asking.ended, old.ended, young.ended) == (None, Stage.HEAD, Stage.IDLE)
    assert [one.ended for one in newcomers] == [Stage.IDLE, None, None]
    assert reasons == ["crowded"] * 3
    assert len(connections) == 3


def test_half_a_body_makes_room_after_those_without_a_request():
    connections, _, _ = make(most=2)
    body, idle = enter(connections, Stage.BODY), enter(connections)

    enter(connections, Stage.HEAD)
    assert (body.ended, idle.ended) == (None, Stage.IDLE)
    connections.go_on(next(one for one in connections._stages if one is not body))
    enter(connections)

    assert body.ended == Stage.BODY


def test_nobody_who_asked_in_full_is_sent_away_for_a_newcomer():
    connections, _, reasons = make(most=2)
    asking = [enter(connections), enter(connections)]
    for client in asking:
        connections.go_on(client)

    assert not connections.enter(Client())
    assert [one.ended for one in asking] == [None, None]
    assert reasons == ["full"]
    connections.leave(asking[0])
    assert connections.enter(Client())


def test_nobody_is_sent_away_whose_request_has_come_and_is_not_read_yet():
    connections, clock, reasons = make(most=2)
    asking, idle = enter(connections), enter(connections)
    asking.has_asked = True

    enter(connections)
    clock.now += 60
    connections.sweep()

    assert (asking.ended, idle.ended) == (None, Stage.IDLE)
    asking.has_asked = False
    connections.sweep()
    assert asking.ended == Stage.IDLE
    assert reasons == ["crowded", "idle", "idle"]


def test_a_request_is_seen_in_a_socket_that_nobody_has_read():
    async def seen():
        here, there = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, sock=here
        )
        transport.pause_reading()
        connection = SimpleNamespace(transport=transport)
        before = BoundedProtocol.asks(connection)
        there.sendall(b"GET")
        after = BoundedProtocol.asks(connection)
        transport.abort()
        there.close()
        return before, after

    assert asyncio.run(seen()) == (False, True)


def test_all_that_enter_and_leave_leave_nothing_behind():
    connections, _, _ = make()
    clients = [enter(connections, stage) for stage in Stage for _ in range(3)]

    for client in clients:
        connections.leave(client)
        connections.wait(client, Stage.IDLE)  # what comes too late is of no account

    assert len(connections) == 0
    assert set(connections.waiting().values()) == {0}
