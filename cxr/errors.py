"""Every error that a user's data or settings can cause.

CxrError
├── ImageError      a film can't be read or must not be judged
├── DatasetError    a folder or manifest of films can't be used
├── ModelError      a registered model is missing, damaged or fails its checks
└── JobError        a training run can't start, go on or be stopped

Messages are sentences that a clinician can act on. Wrong arguments in code stay
`ValueError` ("expected ..., received name=value").
"""


class CxrError(Exception):
    """An error with a sentence for the user and a stable code for programs."""

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        """Keeps `message` and `code` (kebab-case; the class's own by default)."""
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class ImageError(CxrError):
    """Raised for one film; the other films of a batch go on."""

    default_code = "unreadable"


class DatasetError(CxrError):
    """Raised before any work is done with a folder or manifest."""

    default_code = "dataset"


class ModelError(CxrError):
    """Raised when a model may not serve; nothing is predicted instead."""

    default_code = "model"


class JobError(CxrError):
    """Raised when a training run is refused or lost; earlier results stay."""

    default_code = "job"
