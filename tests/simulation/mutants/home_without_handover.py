"""A stand-in writes a lost region's rows at once, without waiting for what others have written of them."""

from proa.runtime.handover import Handover


def plant(replace):
    replace(Handover, "begin", begin)


def begin(self, assignment):
    self._authority.took_over(assignment.epoch)
    BEGIN(self, assignment)


BEGIN = Handover.begin
