"""A key is looked up before the handler runs and not again in the commit: two attempts at once both find nothing."""

from proa.engines.sqlite import rows
from proa.runtime.invoke import Invoker


def plant(replace):
    run_once = Invoker._once

    async def once(invoker, call, key):
        store = invoker._global if call.route.unit == "global" else invoker._regional
        if call.route.unit != "read" and (outcome := await store.outcome(call.route.scope, key)):
            return await invoker._found(call, outcome)
        return await run_once(invoker, call, key)

    replace(rows, "claim_outcome", overwritten)
    replace(Invoker, "_once", once)


def overwritten(connection, outcome, _now, *address):
    rows.put_outcome(connection, outcome, *address)
