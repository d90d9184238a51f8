"""Secrets: declared by name, read inside a handler, rotated without a restart.

The app knows a name. Each region reads the value from where its secrets are kept and looks again every `refresh_s`, so
a new version is used without anybody restarting anything; while it is being rotated, the one before is good as well.
"""

from __future__ import annotations

from proa.declare.context import current_unit
from proa.errors import DeclarationError

REFRESH_S = 30.0
STALE_S = 24 * 3600.0


class Secret:
    """One secret of an app. It holds no value, so that nothing that shows it shows one."""

    def __init__(self, name: str, refresh_s: float, stale_s: float) -> None:
        if not name.isidentifier() or not name.islower():
            raise DeclarationError(f"secret name {name!r} must be a lower-case identifier")
        if not 0 < refresh_s <= stale_s:
            raise DeclarationError(
                f"secret {name}: 0 < refresh_s <= stale_s is needed, got {refresh_s:g} and {stale_s:g}"
            )
        self.name = name
        self.refresh_s = refresh_s
        self.stale_s = stale_s

    def value(self) -> str:
        """The present version.

        Raises:
            SecretUnavailable: this region has none, or none that is young enough.
        """
        return self.values()[0]

    def values(self) -> tuple[str, ...]:
        """All versions that are good, the newest first: what somebody else shows or signs may still be of an older one.

        Raises:
            SecretUnavailable: this region has none, or none that is young enough.
        """
        return current_unit().secret(self.name)

    def __repr__(self) -> str:
        return f"<Secret {self.name}>"
