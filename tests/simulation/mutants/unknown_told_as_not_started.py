"""A commit to which no reply came is reported as not done."""

from proa.errors import GlobalStoreUnreachable, OutcomeUnknown
from proa.runtime.global_client import GlobalClient


def plant(replace):
    commit = GlobalClient.commit

    async def sure(client, batch):
        try:
            return await commit(client, batch)
        except OutcomeUnknown as error:
            raise GlobalStoreUnreachable(error.detail) from error

    replace(GlobalClient, "commit", sure)
