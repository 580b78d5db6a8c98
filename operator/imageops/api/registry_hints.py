"""Say what to do about a refused credential, by the registry that refused it.

The words are those of a cluster: which Secret to make and what has to keep it fresh. Registries are told apart by their
host alone.
"""

import re

_PUT_IT = "Put it into a dockerconfigjson Secret and name that in secretRef."

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
