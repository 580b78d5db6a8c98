"""What a dry run says: that all which can be known without writing was well, and what cannot be known."""

from imageops.api.reasons import Reason
from imageops.tools.image_status import ImageResult


def passed(would: str, *, unchecked: str) -> ImageResult:
    """Return the result of a dry run that found nothing wrong."""
    return ImageResult(reason=Reason.DRY_RUN_PASSED, message=f"{would} Not checked: {unchecked}.")
