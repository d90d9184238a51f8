"""Sessions in regions on real files: what a client wrote or read, it reads again anywhere, or is told why not."""

import asyncio

import msgspec

from proa.core.roles import Assignment, Cut
from proa.core.session import Token
from proa.engines.sqlite.region_store import Identity
from runtime_levels import REGIONS, Item, apart, code, run, value, witness_away


def token(answer):
    """The session's token in an answer."""
    (found,) = [value for name, value in answer.headers if name == "proa-session"]
    return found


def seen(answer):
    text = token(answer)
    return msgspec.msgpack.decode(__import__("base64").urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4)), type=Token)
