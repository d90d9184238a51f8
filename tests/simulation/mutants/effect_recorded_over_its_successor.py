"""What an attempt at an effect says of its end is written over the claim of whoever took it over."""

from proa.runtime.effects import Effects


def plant(replace):
    replace(Effects, "_settle", settle)


async def settle(self, desk, key, mine, after):
    _, version = await desk.read(key)
    await desk.write(key, version, after)
    return True
