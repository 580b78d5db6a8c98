"""Read sizes in bytes as Kubernetes writes them."""

import re
from fractions import Fraction

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason

_FORM = re.compile("([0-9]+(?:[.][0-9]+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi")
_DECIMAL = ("k", "M", "G", "T", "P")
_FACTORS: dict[str | None, int] = {
    None: 1,
    **{suffix: 1024**power for power, suffix in enumerate(_BINARY, start=1)},
    **{suffix: 1000**power for power, suffix in enumerate(_DECIMAL, start=1)},
}


def parse_quantity(text: str) -> int:
    """Return the bytes that a size such as `10Gi` or `1.5G` stands for, rounded down.

    Raises:
        OperationError: InvalidSpec where the text is no such size.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise OperationError(Reason.INVALID_SPEC, "A size is a number with an optional suffix such as Ki, Mi, Gi or G.")
    return int(Fraction(match[1]) * _FACTORS[match[2]])
