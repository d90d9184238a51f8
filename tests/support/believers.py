"""An authenticator by itself: a manual clock, a provider that can be out, and a store in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from proa.declare.http import Request
from proa.errors import Unauthorized
from proa.observe.hub import Hub
from proa.ports import Committed
from proa.runtime.identity.authenticator import Authenticator
from proa.runtime.identity.events import CredentialsRefused
from support.ends import ManualClock
from support.inproc import Documents
from support.issuer import JWKS, Issuer
from support.units import units


class Believer:
    """One region that believes tokens. Its provider publishes what `publish` says."""

    def __init__(self, app, units):
        self.units = units
        self.clock = units.clock
        self.outside = Documents()
        self.events = []
        hub = Hub()
        hub.subscribe(self.events.append)
        self.authenticator = Authenticator("shop", app.authentication, units.store, self.outside, self.clock, hub)
        self.issuer = Issuer(self.clock.now)
        self.publish(self.issuer)

    def publish(self, first, *others):
        self.outside.documents[JWKS] = first.jwks(*others)

    async def believe(self, credential, header="authorization"):
        text = f"Bearer {credential}" if header == "authorization" else credential
        return await self.authenticator.authenticate(Request("GET", "/", "", {header: text}, b""))

    async def refused(self, credential, header="authorization"):
        """The reason for which it is refused."""
        with pytest.raises(Unauthorized):
            await self.believe(credential, header)
        return self.told(CredentialsRefused)[-1].reason

    async def fetched(self):
        """Wait for what the background fetches."""
        for source in self.authenticator.sources.values():
            if source._fetching:
                await source._fetching

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def do(self, work):
        """Run `work(ctx)` as a handler would, and commit what it wrote."""
        with self.units() as unit:
            result = await work(unit)
        assert isinstance(await self.units.commit(unit), Committed)
        return result


@asynccontextmanager
async def believer(app, region="eu"):
    async with units(app, region, ManualClock(1_800_000_000.0)) as made:
        found = Believer(app, made)
        yield found
        found.authenticator.stop()
