"""An application of FastAPI as it might have been for years: nothing in this file knows of regions, keys or limits.

Its rows were in a dictionary once; `rows.invoices` is the one line that changed.
"""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from rows import Invoice, invoices

app = FastAPI(title="Invoices")


class NewInvoice(BaseModel):
    """What is billed to whom, in cents."""

    customer: Annotated[str, Field(min_length=1, max_length=80)]
    cents: Annotated[int, Field(gt=0)]


@app.post("/invoices", status_code=201)
async def bill(wanted: NewInvoice) -> Invoice:
    """Write a new invoice each time it is called; there is no way for it to know that it was called before."""
    invoice = Invoice(uuid4().hex, wanted.customer, wanted.cents)
    await invoices.put(invoice)
    return invoice


@app.get("/invoices/{id}")
async def read(id: str) -> Invoice:
    """An invoice that was written."""
    found = await invoices.get(id, None)
    if found is None:
        raise HTTPException(404, f"there is no invoice {id}")
    return found


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """For whoever watches it."""
    return {"status": "ok"}
