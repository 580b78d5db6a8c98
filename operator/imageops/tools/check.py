"""Check that a pulled image still is what it was: present on the daemon, and its tag unmoved in the registry."""

from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.operations import ImagePullPolicy
from imageops.api.reasons import Reason
from imageops.tools.daemon import known_daemon
from imageops.tools.image_status import ImageResult
from imageops.tools.pull import PullArguments, PullTool
from imageops.tools.registry_access import RegistryAccess, known_credential
from imageops.tools.tool import ToolContext


@dataclass(frozen=True, slots=True)
class CheckTool:
    """Check one image; what has drifted is told by the reason of the error."""

    pull: PullTool
    digest: str | None
    """The digest that the reference had in the registry."""
    name: str = "check"

    async def run(self, arguments: PullArguments, context: ToolContext) -> ImageResult:
        """Succeed if nothing has changed.

        Raises:
            OperationError: ImageMissing or RemoteDigestChanged for drift; another reason if the check failed.

        """
        info = await known_daemon(self.pull.daemon, context)
        if await self.pull.present(arguments, info) is None:
            raise OperationError(Reason.IMAGE_MISSING)
        fixed = arguments.reference.digest is not None or arguments.policy is ImagePullPolicy.NEVER
        if not fixed and self.digest is not None:
            await self._compare(arguments, context, self.digest)
        return ImageResult(reason=Reason.ALREADY_PRESENT, message=f"{arguments.reference} is unchanged.")

    async def _compare(self, arguments: PullArguments, context: ToolContext, digest: str) -> None:
        pull, reference = self.pull, arguments.reference
        chosen = await known_credential(pull.credentials, reference, context)
        access = RegistryAccess(pull.daemon, pull.credentials, pull.requester, reference, chosen)
        with pull.daemon.budgets.visit(reference.host, chosen.auth, pull.requester) as visit:
            async with access.explaining_refusals():
                remote = await access.lookup()
            visit.served()
        if remote is None:
            raise OperationError(Reason.IMAGE_NOT_FOUND)
        if remote.digest != digest:
            raise OperationError(Reason.REMOTE_DIGEST_CHANGED)
