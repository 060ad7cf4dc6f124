"""What holds for every test does hold."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests import conftest
from tests.conftest import unmet_requirement

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("pytest>=7", None),
        ("pytest", None),
        ("pytest<1", f"needs pytest<1, here is {pytest.__version__}"),
        ("no-such-package>=1", "needs no-such-package>=1, which is not installed here"),
    ],
)
def test_what_a_test_needs_is_looked_up(requirement: str, reason: str | None) -> None:
    assert unmet_requirement(requirement) == reason


def test_a_test_whose_needs_are_not_met_is_skipped_by_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(conftest.__file__).read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_two="""
        import pytest

        @pytest.mark.needs("pytest", "no-such-package>=1")
        def test_one():
            assert False

        @pytest.mark.needs("pytest")
        def test_other():
            pass
        """
    )
    result = pytester.runpytest_inprocess("-rs", "--no-fold-skipped", "-p", "no:xdist")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED test_two.py::test_one - Skipped: needs no-such-package>=1, which is not *"]
    )


def test_what_takes_minutes_begins_first(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(conftest.__file__).read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = longest")
    pytester.makepyfile(
        test_two="""
        import pytest

        def test_short():
            pass

        @pytest.mark.longest
        def test_long():
            pass
        """
    )
    result = pytester.runpytest_inprocess("-v", "-p", "no:xdist")
    result.stdout.fnmatch_lines(["*::test_long PASSED*", "*::test_short PASSED*"])


def test_another_machine_is_out_of_reach() -> None:
    # An address kept for documentation (RFC 5737): nothing answers there.
    with pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_this_machine_is_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername() == server.getsockname()
