"""A key is looked up before the handler runs and not again in the commit: two attempts at once both find nothing."""

from proa.engines.sqlite import rows
from proa.runtime.invoke import Invoker


def plant(replace):
    run_once = Invoker._once

    async def once(invoker, call, key):
        if call.route.unit != "read" and (outcome := await invoker._recorded(call)):
            return invoker._found(call, outcome)
        return await run_once(invoker, call, key)

    replace(rows, "claim_outcome", lambda connection, outcome, _now: rows.put_outcome(connection, outcome))
    replace(Invoker, "_once", once)
