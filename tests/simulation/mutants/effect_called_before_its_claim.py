"""An effect is called, and claimed only with its result."""

from proa.runtime.effects import Effects


def plant(replace):
    replace(Effects, "_claimed", claimed)
    replace(Effects, "_settle", settle)


async def claimed(self, desk, key, version, mine, effect, unit):
    return True


async def settle(self, desk, key, mine, after):
    _, version = await desk.read(key)
    await desk.write(key, version, after)
    return True
