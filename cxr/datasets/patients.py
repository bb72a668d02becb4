"""Which patients are or may be the same one: those with a film in common."""

from collections.abc import Set


class Patients:
    """Names of patients, joined where a film is known under two of them."""

    def __init__(self, preferred: Set[str] = frozenset()) -> None:
        """Begins with everybody apart.

        Args:
            preferred: of two joined patients one of these gives the name; else it is
                the first in the order of names.
        """
        self._preferred = preferred
        self._root: dict[str, str] = {}
        self._first: dict[str, str] = {}

    def find(self, patient: str) -> str:
        """Returns the name that stands for a patient and all who are joined."""
        self._root.setdefault(patient, patient)
        while self._root[patient] != patient:
            self._root[patient] = self._root[self._root[patient]]
            patient = self._root[patient]
        return patient

    def join(self, one: str, other: str) -> None:
        """Takes two patients for one."""
        both = (self.find(one), self.find(other))
        name, joined = sorted(both, key=lambda p: (p not in self._preferred, p))
        self._root[joined] = name

    def note(self, sha256: str, patient: str) -> None:
        """Joins a patient with those who have the same film; without a hash nobody."""
        if sha256:
            self.join(self._first.setdefault(sha256, patient), patient)
