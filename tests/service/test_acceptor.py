"""Connections as the service takes them."""

import asyncio
import contextlib
import socket

import pytest

from service.processes.acceptor import Acceptor, listen


class Keeper(asyncio.Protocol):
    """Keeps its transport."""

    def __init__(self, made):
        self.made = made

    def connection_made(self, transport):
        self.made.set_result(transport)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_answer_is_sent_at_once_and_not_when_the_one_before_is_acknowledged(host):
    async def run():
        made = asyncio.get_running_loop().create_future()
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(one) for one in listen(host, 0)]
            acceptor = Acceptor(sockets[0], lambda: Keeper(made), lambda: 0.0)
            acceptor.start()
            stack.callback(acceptor.stop)
            with socket.create_connection(sockets[0].getsockname()[:2]):
                transport = await asyncio.wait_for(made, 5)
                nagle = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                transport.close()
        return nagle

    assert asyncio.run(run()) == 1
