"""The app and its table, which the mounted application writes and the app's own routes read."""

from __future__ import annotations

from dataclasses import dataclass

from proa import App, Objectives

app = App("mounted", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=1))


@dataclass
class Invoice:
    """An invoice, in cents."""

    id: str
    customer: str
    cents: int


invoices = app.table("invoices", Invoice, key="id", indexes={"by_customer": "customer"})
