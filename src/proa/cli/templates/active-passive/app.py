"""A help desk with one region at work, and two that stand by: one of them takes over by itself."""

from dataclasses import dataclass

from proa import App, Context, Objectives


@dataclass
class Report:
    text: str


@dataclass
class Ticket:
    id: str
    text: str
    reference: str
    done: bool = False


app = App(
    "my-app",
    regions=["eu-west-1", "us-east-1", "ap-southeast-1"],
    topology="active-passive",
    failover="automatic",  # "approval" where a person shall decide
    lease_s=2,
    acknowledge="peer",  # answered once a second region has it, too: the loss of a region loses nothing
    objectives=Objectives(rto_s=10, rpo_s=0),
)
tickets = app.table("tickets", Ticket, key="id")


@app.post("/tickets", idempotent=True, timeout_s=2)
async def report(report: Report, ctx: Context) -> Ticket:
    """Open a ticket, once for each Idempotency-Key."""
    ticket = Ticket(ctx.unit, report.text, ctx.idempotency_key or "")
    await tickets.put(ticket)
    return ticket


@app.get("/tickets/{id}")
async def read(id: str) -> Ticket:
    """A ticket."""
    return await tickets.get(id)


@app.post("/tickets/{id}/close", idempotent=True, timeout_s=2)
async def close(id: str) -> Ticket:
    """Close a ticket."""
    ticket = await tickets.get(id)
    ticket.done = True
    await tickets.put(ticket)
    return ticket
