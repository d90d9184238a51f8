"""An application of FastAPI, mounted: keys, limits, health and regions without a change of its handlers.

Everything under `/legacy` is answered by `legacy.application`. A POST there with an Idempotency-Key runs once in a
region; the answer is kept in its store, and replicated with the rows.
"""

from __future__ import annotations

from legacy import Invoice, application

from proa import App, Concurrency, Objectives, Rule, Throttle

app = App("mounted", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=1))
invoices = app.table("invoices", Invoice, key="id", indexes={"by_customer": "customer"})

app.throttle(Throttle(rate_per_s=2000, per="client"))
app.concurrency(Concurrency())
app.firewall(Rule(name="hostile", patterns=["sql", "script", "traversal", "command"], action="count"))
app.mount("/legacy", application(invoices), health="/healthz", timeout_s=2)
app.document("/docs")


@app.get("/customers/{customer}/invoices")
async def of_customer(customer: str) -> list[Invoice]:
    """What was billed to a customer; a route of Proa's own beside the mounted ones, over the same rows."""
    page = await invoices.by("by_customer").query(customer)
    return page.rows
