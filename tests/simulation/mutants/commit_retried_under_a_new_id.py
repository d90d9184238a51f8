"""A commit whose reply was lost is sent again as another transaction, so it may act twice."""

import msgspec

from proa.errors import LinkDown, LinkRefused, LinkTimeout, OutcomeUnknown
from proa.ports import Result
from proa.runtime.global_client import COMMIT_TRIES, RETRY_PAUSE_S, GlobalClient


def plant(replace):
    replace(GlobalClient, "commit", commit_anew)


async def commit_anew(client, batch):
    for number in range(COMMIT_TRIES):
        batch.id = f"{batch.id}-{number}"
        try:
            reply = await client._link.call("witness", "commit", msgspec.msgpack.encode(batch), timeout_s=0.5)
            return msgspec.msgpack.decode(reply, type=Result)
        except (LinkDown, LinkTimeout, LinkRefused):
            await client._clock.sleep(RETRY_PAUSE_S)
    raise OutcomeUnknown("the global store did not say whether it committed")
