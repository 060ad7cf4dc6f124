"""The one exception family for what a user can put right."""

from __future__ import annotations


class UserError(Exception):
    """A sentence for the user: what is wrong, where, and what to do about it.

    `code` is stable and meant for programs; `where` names a file, a field or a key.
    """

    code = "bad-input"

    def __init__(self, what: str, *, where: str = "", todo: str = "", code: str | None = None) -> None:
        self.what = what
        self.where = where
        self.todo = todo
        if code is not None:
            self.code = code
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Everything in one line."""
        place = f"{self.where}: " if self.where else ""
        todo = f" {self.todo}" if self.todo else ""
        return " ".join(f"{place}{self.what}{todo}".split())

    def to_json(self) -> dict[str, str]:
        """The form that the API and `--json` print."""
        return {"code": self.code, "what": self.what, "where": self.where, "todo": self.todo}


class FileError(UserError):
    """A file cannot be read, understood or written."""

    code = "bad-file"


class SettingsError(UserError):
    """One or more settings are wrong; `problems` holds each of them."""

    code = "bad-settings"

    def __init__(self, problems: list[UserError]) -> None:
        assert problems, "a SettingsError needs at least one problem"
        self.problems = problems
        count = len(problems)
        head = problems[0].sentence() if count == 1 else f"{count} settings need attention"
        super().__init__(head)

    def to_json(self) -> dict[str, object]:  # type: ignore[override]
        return {"code": self.code, "what": self.what, "problems": [p.to_json() for p in self.problems]}


class MissingPackage(UserError):
    """A feature needs a package that is not installed here."""

    code = "missing-package"


class Cancelled(Exception):
    """A stop was asked for; raised at a safe point, never an error."""
