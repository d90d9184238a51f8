"""A row's home is known by the roles alone: whether the lease still lasts is not looked at."""

from proa.runtime.authority import Authority


def plant(replace):
    replace(Authority, "may_write_home", may_write_home)


def may_write_home(self, place):
    return self.tenure is not None and self.tenure.holds(self._region, place)
