"""A unit is answered when its transaction has run; the fsync follows, or does not."""

import asyncio

from proa.engines.sqlite.group import BATCH_MAX, GroupCommit


def plant(replace):
    replace(GroupCommit, "_begin", begin_and_answer)


def begin_and_answer(group):
    batch, group._queue = group._queue[:BATCH_MAX], group._queue[BATCH_MAX:]
    results = group._run(batch)
    for future, result in results:
        if not future.done():
            future.set_result(result)
    synced = asyncio.ensure_future(group._run_blocking(group._sync))
    synced.add_done_callback(lambda _: group._end(batch, results, synced))
