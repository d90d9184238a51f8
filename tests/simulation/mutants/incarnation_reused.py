"""A region goes by its name alone: after the loss of its disk its sequence begins anew under the same origin."""

from proa.nodes import region


def plant(replace):
    register = region.register

    async def register_again(*args, **_):
        _, nonce = await register(*args)
        return 1, nonce

    replace(region, "register", register_again)
