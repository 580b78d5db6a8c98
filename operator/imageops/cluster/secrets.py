"""Read Secrets and ServiceAccounts of one namespace; nothing is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from imageops.access.credentials import SecretCredentials, parse_secret
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiError, ApiServer


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
            return parse_secret(await self.api.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}"))
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

    async def image_pull_secrets(self, service_account: str) -> Sequence[str] | None:
        """Return the names under the ServiceAccount's `imagePullSecrets`; None if there is no such account.

        Raises:
            OperationError: SecretNotFound if the API server does not say.

        """
        try:
            account = await self.api.get(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{service_account}")
        except ApiError as error:
            if error.not_found:
                return None
            raise OperationError(
                Reason.SECRET_NOT_FOUND,
                f"The API server did not give out ServiceAccount {service_account!r} (status {error.code}).",
                hint="Check that the operator's role may get ServiceAccounts in this namespace.",
            ) from error
        return [str(entry["name"]) for entry in account.get("imagePullSecrets") or () if entry.get("name")]
