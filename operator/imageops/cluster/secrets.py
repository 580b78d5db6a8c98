"""Read Secrets and ServiceAccounts of one namespace; nothing is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imageops.access.credentials import SecretCredentials, parse_secret
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import core_collection
from imageops.cluster.paths import is_object_name


@dataclass(frozen=True, slots=True)
class NamespaceSecrets:
    """The Secrets of one namespace."""

    api: ApiServer
    namespace: str

    async def secret(self, name: str) -> SecretCredentials:
        """Return a Secret's credentials.

        Raises:
            OperationError: SecretNotFound if it does not exist or cannot be read now, SecretInvalid if it is of no use.

        """
        try:
            return parse_secret(await self._read("secrets", name))
        except ApiError as error:
            if error.not_found:
                raise OperationError(
                    Reason.SECRET_NOT_FOUND,
                    f"There is no Secret {name!r} in namespace {self.namespace!r} yet.",
                ) from error
            raise OperationError(
                Reason.SECRET_NOT_FOUND,
                f"The API server does not give out Secret {name!r} of this namespace (status {error.code}).",
                hint="Check that the operator's role may get Secrets in this namespace; the operator asks again.",
            ) from error

    async def image_pull_secrets(self, service_account: str) -> Sequence[str | None] | None:
        """Return the names under the ServiceAccount's `imagePullSecrets`; None if there is no such account.

        The API server takes any text there. One that cannot be the name of a Secret is None in the answer.

        Raises:
            OperationError: SecretNotFound if the API server does not say.

        """
        try:
            account = await self._read("serviceaccounts", service_account)
        except ApiError as error:
            if error.not_found:
                return None
            raise OperationError(
                Reason.SECRET_NOT_FOUND,
                f"The API server did not give out ServiceAccount {service_account!r} (status {error.code}).",
                hint="Check that the operator's role may get ServiceAccounts in this namespace.",
            ) from error
        return [_name(entry) for entry in account.get("imagePullSecrets") or ()]

    async def _read(self, plural: str, name: str) -> dict[str, Any]:
        """Read an object of this namespace, and make sure that it is the one that was asked for.

        Raises:
            ApiError: There is none, or no answer came.
            OperationError: SecretNotFound for another object than the one named.

        """
        if not is_object_name(name):
            raise OperationError(Reason.SECRET_NOT_FOUND, "No Secret or ServiceAccount can have this name.")
        body = await self.api.get(core_collection(self.namespace, plural) / name)
        metadata = body.get("metadata") or {}
        if (metadata.get("namespace"), metadata.get("name")) != (self.namespace, name):
            raise OperationError(Reason.SECRET_NOT_FOUND, "The API server answered with another object than was asked.")
        return body


def _name(entry: Any) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and is_object_name(name) else None
