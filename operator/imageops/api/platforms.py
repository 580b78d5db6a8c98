"""Compare platforms by the rules of containerd: which spellings mean the same, and which image is of the one asked for.

Source: the normalisation of `containerd/platforms`. A variant that everybody means is left out here instead of added.
"""

_ARCHITECTURES = {
    "aarch64": ("arm64", ""),
    "armel": ("arm", "v6"),
    "armhf": ("arm", ""),
    "i386": ("386", ""),
    "x86-64": ("amd64", ""),
    "x86_64": ("amd64", ""),
}
_DEFAULT_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}


def normalise(platform: str) -> str:
    """Return the shortest spelling of a platform: `linux/x86_64` is `linux/amd64`, `linux/arm/v7` is `linux/arm`."""
    os, architecture, variant, *_ = [*platform.lower().split("/"), "", ""]
    architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or implied
    if variant.isdigit():
        variant = f"v{variant}"
    if variant == _DEFAULT_VARIANTS.get(architecture):
        variant = ""
    return "/".join(part for part in (os, architecture, variant) if part)


def matches(asked: str, actual: str | None) -> bool:
    """Tell whether an image's platform is the one asked for; without a variant any variant is."""
    if actual is None:
        return False
    wanted, found = normalise(asked).split("/"), normalise(actual).split("/")
    return found[: len(wanted)] == wanted
