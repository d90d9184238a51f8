"""A region acts on its role until it hears of another one; that its lease has run out it does not notice."""

from proa.runtime.authority import Authority


def plant(replace):
    replace(Authority, "may_write_active", may_write)


def may_write(authority):
    known = authority.assignment
    return not authority.draining and not authority.fenced and known is not None and known.may_write(authority._region)
