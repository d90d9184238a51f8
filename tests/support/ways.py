"""Every sort of unit that an author writes, each of which does the same with the row that it is given."""

from proa import Change, Retry, Saga

NEVER_S = 1_000_000


def in_every_way(app, kind, act, tick, every_s=NEVER_S):
    """Let requests, messages, events, changes and steps `act` on a row, given by `POST /by/{way}`; ticks on `tick`."""
    drafts, letters = app.table("drafts", kind, key="id"), app.queue("letters", kind, retry=Retry(attempts=1))
    written = app.event("written", kind)

    @letters.consumer()
    async def arrived(row: kind) -> None:
        await act(row)

    @written.on
    async def heard(row: kind) -> None:
        await act(row)

    @drafts.changes(name="drafts")
    async def drafted(change: Change[kind]) -> None:
        await act(change.row)

    @app.saga()
    async def editing(saga: Saga, row: kind) -> None:
        await saga.step(act, row)

    @app.schedule(every_s=every_s)
    async def regularly() -> None:
        await act(tick)

    @app.post("/by/{way}")
    async def give(way: str, row: kind) -> None:
        match way:
            case "request":
                await act(row)
            case "message":
                await letters.send(row)
            case "event":
                await written.emit(row)
            case "change":
                await drafts.put(row)
            case "saga":
                await editing.start(row, id="s")
