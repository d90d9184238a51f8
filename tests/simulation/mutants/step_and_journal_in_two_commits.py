"""What a step of a saga wrote is committed first, and that it was done after it."""

from proa.ports import Committed
from proa.runtime.sagas.course import Course


def plant(replace):
    replace(Course, "commit", commit)


async def commit(self, record, entries=None, writes=(), *, errand=None, value=b"", expires_at=None):
    if errand:
        result = await errand.commit({}, [], value)
        if not isinstance(result, Committed):
            return result
    return await whole(self, record, entries or {}, writes, value=value, expires_at=expires_at)


whole = Course.commit
