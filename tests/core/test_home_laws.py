"""One row, one writer: whatever is lost, learned late and taken over in turn, a write has seen those that stand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proa.core.home import Place, following, goal, stopped
from proa.core.replicate.stamp import covers, join
from proa.core.roles import Assignment, Cut, Node

REGIONS = ("ap", "eu", "us")
ROWS = [Place(str(number)) for number in range(6)]


class Region:
    """What one region knows, has applied, and may do."""

    def __init__(self, name, assignment):
        self.name = name
        self.assignment = assignment
        self.tenure = following(None, assignment, newborn=True)
        self.leased = True
        self.origin = f"{name}/1"
        self.cursors = {}
        self.stopped = 0
        self.known = {}

    def learn(self, assignment):
        """Read the roles and renew the lease, which rests on having read them."""
        if assignment.epoch > self.assignment.epoch:
            self.tenure = following(self.tenure, assignment, newborn=True)
            self.known = {}
        self.assignment = assignment
        self.leased = self.name not in assignment.revoked

    def may_write(self, place):
        return self.leased and self.assignment.may_write(self.name) and self.tenure.holds(self.name, place)


class System:
    """Regions, the roles, and every write that was acknowledged."""

    def __init__(self):
        self.assignment = Assignment(1, "active-active", dict.fromkeys(REGIONS, "active"))
        self.regions = {name: Region(name, self.assignment) for name in REGIONS}
        self.nodes = {}
        self.written = {place: [] for place in ROWS}

    def fence(self, name):
        a = self.assignment
        if not a.revoked and len(a.active()) > 1:
            self.assignment = _with(a, {name: "fenced"}, revoked={**a.revoked, name: a.epoch})

    def over(self, _name):
        """The fenced region's lease has certainly ended; a new epoch starts where the survivors stand."""
        a = self.assignment
        for lost in [region for region, epoch in a.revoked.items() if epoch == a.epoch]:
            self.regions[lost].leased = False
            origin = self.regions[lost].origin
            left = [self.regions[region] for region in a.active()]
            kept = {cut.origin: cut.seq for cut in a.cuts} | {origin: 10**9}
            best = {of: max(region.cursors.get(of, 0) for region in left) for of in kept}
            cuts = tuple(Cut(a.epoch + 1, of, best[of]) for of in kept if best[of] < kept[of])
            self.assignment = _with(a, {lost: "down"}, epoch=a.epoch + 1, cuts=a.cuts + cuts)

    def restore(self, name):
        """It knows that it was cut off, has set its late commits aside, begins a new life and is caught up."""
        a, region = self.assignment, self.regions[name]
        if a.roles[name] != "down" or any(epoch == a.epoch for epoch in a.revoked.values()):
            return
        region.learn(a)
        kept = {cut.origin: cut.seq for cut in a.cuts}
        region.cursors = {of: min(seq, kept.get(of, seq)) for of, seq in region.cursors.items()}
        region.origin = f"{name}/{int(region.origin.rpartition('/')[2]) + 1}"
        revoked = {other: epoch for other, epoch in a.revoked.items() if other != name}
        self.assignment = _with(a, {name: "active"}, epoch=a.epoch + 1, revoked=revoked)

    def learn(self, name):
        region, a = self.regions[name], self.assignment
        region.learn(a)
        if a.may_write(name):  # what it had beyond a cut is set aside
            kept = {cut.origin: cut.seq for cut in a.cuts}
            region.cursors = {
                of: seq if of == region.origin else min(seq, kept.get(of, seq)) for of, seq in region.cursors.items()
            }

    def beat(self, name):
        region = self.regions[name]
        region.stopped = region.assignment.epoch
        self.nodes[name] = Node(name, "region", "", 1, 1.0, cursors=dict(region.cursors), stopped=region.stopped)

    def pull(self, name):
        """From every other region; a held or cut origin goes no further than its cut."""
        region = self.regions[name]
        for other in self.regions.values():
            region.cursors = join(region.cursors, other.cursors)

    def take_over(self, name):
        region = self.regions[name]
        region.known |= stopped(self.nodes, region.known, region.assignment.epoch)
        wanted = goal(region.assignment, name, region.known)
        if wanted is not None and covers(region.cursors, wanted):
            region.tenure = region.tenure.taken_over()

    def write(self, name):
        region = self.regions[name]
        for place in ROWS:
            if region.may_write(place):
                standing = [(of, seq) for of, seq in self.written[place] if self.stands(of, seq)]
                assert all(region.cursors.get(of, 0) >= seq for of, seq in standing), (name, place, standing)
                seq = region.cursors.get(region.origin, 0) + 1
                region.cursors[region.origin] = seq
                self.written[place].append((region.origin, seq))

    def stands(self, origin, seq):
        return all(seq <= cut.seq for cut in self.assignment.cuts if cut.origin == origin)


def _with(a, roles, **changes):
    values = {"epoch": a.epoch, "revoked": a.revoked, "cuts": a.cuts} | changes
    return Assignment(values["epoch"], a.topology, {**a.roles, **roles}, revoked=values["revoked"], cuts=values["cuts"])


WEIGHTS = {"fence": 1, "over": 2, "restore": 1, "learn": 5, "beat": 5, "pull": 4, "take_over": 5, "write": 8}
EVENTS_PER_STORY = 200


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whoever_writes_a_row_has_seen_every_write_of_it_that_stands(rng):
    system = System()
    for event in rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=EVENTS_PER_STORY):
        getattr(system, event)(rng.choice(REGIONS))
