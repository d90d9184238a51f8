"""The holder takes its lease for renewed as soon as it has sent the renewal, whether or not the store takes it."""

from proa.control.member import Member


def plant(replace):
    send = Member._send

    async def send_and_hope(member):
        shared = member._parts
        if member._renews(shared.view.situation.assignment):
            member._renewed(shared.view.situation.assignment, shared.clock.monotonic() + shared.rules.lease_s)
        return await send(member)

    replace(Member, "_send", send_and_hope)
