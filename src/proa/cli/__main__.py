"""`python -m proa.cli`, for who has no script on the path."""

from proa.cli.main import run

run()
