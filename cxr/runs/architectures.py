"""The networks by name: what can be chosen, without building any.

`networks` builds them; pages and jobs need their names and sizes without TensorFlow.
"""

from dataclasses import dataclass

BASELINE = "baseline-cnn"
DEFAULT = "efficientnet-b0"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network.

    Attributes:
        name: as a card and the command line have it.
        size: edge in pixels of its square input.
        builder: its function in `keras.applications`, empty for the baseline CNN.
        last_block: the highest block that fine-tuning can begin at, 0 for none.
    """

    name: str
    size: int
    builder: str = ""
    last_block: int = 0


def _family() -> list[Architecture]:
    sizes = (224, 240, 260, 300, 380, 456, 528, 600)
    first = [
        Architecture(
            name=f"efficientnet-b{i}",
            size=size,
            builder=f"EfficientNetB{i}",
            last_block=7,
        )
        for i, size in enumerate(sizes)
    ]
    second = [
        Architecture(
            name=f"efficientnet-v2-{kind.lower()}",
            size=size,
            builder=f"EfficientNetV2{kind}",
            last_block=6,
        )
        for kind, size in {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "S": 384}.items()
    ]
    return [*first, *second]


ARCHITECTURES = {
    item.name: item for item in [Architecture(name=BASELINE, size=224), *_family()]
}


def find(name: str) -> Architecture:
    """Returns the architecture of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"expected one of {', '.join(ARCHITECTURES)}, "
            f"received architecture={name!r}"
        )
    return ARCHITECTURES[name]
