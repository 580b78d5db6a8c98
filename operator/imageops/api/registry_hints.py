"""Say what to do where a reason alone is not enough: by the registry that refused, or by what stands before it.

The words are those of a cluster: which Secret to make and what has to keep it fresh. Registries are told apart by their
host alone.
"""

import re

_PUT_IT = "Put it into a dockerconfigjson Secret and name that in secretRef."

PROXY_HINT = (
    "The daemon's own proxy refused to connect: check its address, account and rules in the daemon's settings"
    " (HTTPS_PROXY and NO_PROXY); the registry was not asked, and no Secret is at fault."
)
STORAGE_HINT = (
    "The storage that the registry redirects to refused the address it was given, which lasts for minutes only: the"
    " next attempt gets a new one. If it repeats, look at the registry's storage and at both clocks."
)
CREATE_REPOSITORY_HINT = (
    "Create the repository (project, namespace) in the registry before the push, or allow the account to; some"
    " registries make none by themselves, and hide those that the account may not see."
)
NEWER_ENGINE_HINT = (
    "This Docker Engine cannot unpack or keep such an image: name a daemon with a newer one in daemonName, such as one"
    " of the 29 line with the containerd image store."
)
BROKEN_IMAGE_HINT = (
    "Manifest, configuration and layers of the image do not belong together: build the image anew and push it again,"
    " then pull it on this daemon."
)
MOUNT_HINT = (
    "The daemon has this image from another repository of the same registry and lets the registry take the layers from"
    " there: give the target's account the right to read that repository, besides the right to push to this one."
)
TAKEN_BEFORE_HINT = (
    "The registry had taken the credential, and then refused in words that a passing fault uses as well. If it repeats,"
    " the account lacks a right: let it push to this repository, or pull from it."
)
UNPROVEN_HINT = (
    "It is not tried again, as no answer has shown yet that the registry takes the credential. Check the Secret, or run"
    " docker pull with the same account on the daemon's host to see the words; then set a new token to try again."
)

_HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"[0-9]+\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"),
        (
            "An ECR token lasts 12 hours: have External Secrets renew it with an ECRAuthorizationToken generator, and"
            " check that its role may read (and for a push write) this repository."
        ),
    ),
    (
        re.compile(r"[a-z0-9-]+\.azurecr\.(io|cn|us)"),
        (
            "Use a repository-scoped token of the ACR, or have External Secrets renew one with an ACRAccessToken"
            " generator; the identity needs AcrPull, for a push AcrPush."
        ),
    ),
    (
        re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)"),
        (
            "An access token of Artifact Registry lasts 1 hour: have External Secrets renew it with a GCRAccessToken"
            " generator; the account needs roles/artifactregistry.reader, for a push writer."
        ),
    ),
    (
        re.compile(r"ghcr\.io"),
        f"GHCR takes a classic personal access token with read:packages, for a push write:packages. {_PUT_IT}",
    ),
    (
        re.compile(r"(index\.)?docker\.io"),
        f"Docker Hub takes an access token in place of the password, with the rights to this repository. {_PUT_IT}",
    ),
    (
        re.compile(r"quay\.io"),
        f"Quay takes a robot account, which needs read, for a push write, on this repository. {_PUT_IT}",
    ),
)


def auth_hint(host: str) -> str | None:
    """Return the hint for a registry's host; None for one that is not known by its host."""
    name = host.rpartition(":")[0] or host
    return next((hint for pattern, hint in _HINTS if pattern.fullmatch(name.lower())), None)
