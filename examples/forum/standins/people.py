"""Who has an account at the stand-ins. None of them is anybody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Somebody with an account."""

    login: str
    given_name: str
    family_name: str
    email: str
    workspace: str = ""
    """The domain of a Google Workspace, whose account it is."""

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.given_name} {self.family_name}"


AT_GOOGLE = (
    Person("ada", "Ada", "Brandt", "ada.brandt@mail.example"),
    Person("bo", "Bo", "Castellanos", "bo@workshop.example", workspace="workshop.example"),
    Person("chidi", "Chidi", "Novák", "chidi.novak@mail.example"),
)
AT_APPLE = (
    Person("dana", "Dana", "Ó Briain", "dana@icloud.example"),
    Person("emre", "Emre", "Lindqvist", "emre@icloud.example"),
    Person("femi", "Femi", "Grande", "femi@icloud.example"),
)


def find(people: tuple[Person, ...], text: str) -> Person | None:
    """Whose login or address this is; None for anybody else."""
    return next((person for person in people if text and text in {person.login, person.email}), None)
