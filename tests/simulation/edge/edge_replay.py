"""A recorded script once more, in virtual time, with the model in Envoy's place."""

import asyncio
from random import Random

from edge_trace import KINDS, NUMBER, RULES, Player, Script, Seen, is_check

from proa.core.roles import Assignment
from proa.core.route import Endpoint
from proa.declare.http import Request
from proa.edge.routes import Routing
from proa.simulation.client import Reply
from proa.simulation.edge import EdgeModel
from proa.simulation.loop import run

HOP_S = 0.0005


class Replay(Player):
    """The model before the script's stands."""

    def __init__(self, script: Script, seed: int) -> None:
        super().__init__(script)
        endpoints = [Endpoint(name, name, 80) for name in script.regions]
        routing = Routing(RULES, script.topology, script.policy)
        self.model = EdgeModel(routing, endpoints, self._dial, Random(seed), silent=self._silent)

    def turn(self, assignment: Assignment) -> None:
        assert self.model.apply(assignment)

    async def send(self, kind: str, number: str) -> tuple[int, str]:
        method, path, headers = KINDS[kind]
        reply = await self.model.send(Request(method, path, "", {**headers, NUMBER: number}, b""))
        return reply.status, reply.headers.get("proa-region", "")

    def _silent(self, region: str) -> bool:
        return self.stands[region].state.link == "dark"

    async def _dial(self, region: str, request: Request) -> Reply:
        stand, check = self.stands[region], is_check(request.path)
        await asyncio.sleep(HOP_S)
        if stand.state.link == "gone":
            raise ConnectionRefusedError(region)
        if not check:
            self.tried[request.headers[NUMBER]].append(region)
        status, headers = (await stand.answer(check=check)).reply(request.path)
        return Reply(status, {"proa-region": region, **headers}, b"")


def replay(script: Script, seed: int, warm_s: float = 1.0, order: Random | None = None) -> tuple[Seen, ...]:
    """What the model does; `warm_s` is how long its checks have run when the script begins."""
    return run(_replay(script, seed, warm_s), order)


async def _replay(script: Script, seed: int, warm_s: float) -> tuple[Seen, ...]:
    defects = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    player = Replay(script, seed)
    player.turn(script.assignment)
    await asyncio.sleep(warm_s)
    seen = await player.play()
    player.model.close()
    assert defects == []
    return seen
