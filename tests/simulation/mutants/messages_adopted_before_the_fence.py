"""Whoever may write takes up the messages of every region, whether or not their own still hands them out."""

from proa.runtime.authority import Authority


def plant(replace):
    replace(Authority, "may_write_home", lambda self, _place: self.may_write_active())
