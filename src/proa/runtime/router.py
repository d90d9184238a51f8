"""Which route a method and a path belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from proa.declare.handlers import Route
from proa.errors import MethodNotAllowed, NotFound

NO_PATH: Mapping[str, str] = {}


class Router:
    """Finds the route of a method and path: fixed paths in one look-up, templates in declared order, then mounts."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        self._mounts: dict[str, dict[str, Route]] = {}
        for route in routes:
            if route.mount:
                methods = self._mounts.setdefault(route.mount.prefix, {})
            elif "{" in route.path:
                _, methods = self._templates.setdefault(route.path, (_pattern(route.path), {}))
            else:
                methods = self._fixed.setdefault(route.path, {})
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its path parameters.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: one has, for other methods.
        """
        methods, parameters = self._methods(path)
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise MethodNotAllowed(f"{path} takes {allowed}, not {method}", headers={"allow": allowed})
        return route, parameters

    def _methods(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        if (methods := self._fixed.get(path)) is not None:
            return methods, NO_PATH
        for pattern, methods in self._templates.values():
            if match := pattern.fullmatch(path):
                return methods, match.groupdict()
        for prefix, methods in self._mounts.items():
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
                return methods, NO_PATH
        raise NotFound(f"no route has the path {path}")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    escaped = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+)" for index, part in enumerate(parts)]
    return re.compile("".join(escaped))
