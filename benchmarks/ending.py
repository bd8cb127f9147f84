"""How a session ends in which pytest, or a plugin of it, fails as it shows or stores results."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from bcdl.errors import DEBUG, debugging
from bcdl.text import on_one_line


class Ending:
    """A plugin of pytest: such a failure becomes a line, since every record is on the disk already."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        try:
            yield
        except Exception as error:
            if debugging() or isinstance(error, pytest.exit.Exception):
                raise
            pytest.exit(
                f"error: pytest could not show its results ({on_one_line(error, with_kind=True)}); the records are "
                f"kept, and `bcdl report` shows them; {DEBUG}=1 shows where",
                returncode=int(session.exitstatus) or 1,
            )
