"""The lease is looked at before the commit and not again after its fsync, before the answer."""

from proa.declare.http import Answer
from proa.runtime.invoke import EPOCH_HEADER, Invoker


def plant(replace):
    replace(Invoker, "_acknowledged", acknowledged)


def acknowledged(_, answer, batch):
    return Answer(answer.status, [*answer.headers, (EPOCH_HEADER, str(batch.epoch))], answer.body)
