"""The token of a session is made before the unit commits, so that it does not name the commit."""

from proa.runtime.invoke import Invoker


def plant(replace):
    replace(Invoker, "_noted", lambda *_: None)
