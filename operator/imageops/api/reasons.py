"""Own the closed set of reasons: the word, its class, one sentence, and what to do next.

Every reason in conditions, status, Events and metrics is a member of `Reason`; no other module invents one. Sentence
and hint are the only text about an outcome that users see, so raw daemon or registry text never reaches an object. What
the API server says when it refuses an operation of a Session is the exception: it is written for those who read it.
"""

from enum import StrEnum
from typing import Self


class ReasonClass(StrEnum):
    """Say what a reason means for the life of a run."""

    SUCCESS = "Success"
    """The run ended well, or an open Session accepts members."""
    WAITING = "Waiting"
    """Nothing went wrong: the object waits or works; no attempt is used up."""
    RETRYABLE = "Retryable"
    """The attempt failed in a way that may pass; it is tried again within backoffLimit."""
    FINAL = "Final"
    """The run ended; only a change by a person, or a new token, starts another."""
    EVENT = "Event"
    """Appears in Kubernetes Events only, never in a condition."""


class Reason(StrEnum):
    """Name why an object is in its state; the value is the CamelCase word written to the API."""

    reason_class: ReasonClass
    """What the reason means for the run."""
    sentence: str
    """One plain sentence about what happened."""
    hint: str
    """What to do next, in Kubernetes words."""
    prospect: str
    """Of a retryable reason, what may be different at the next attempt; of a final one, why another cannot help."""

    def __new__(
        cls,
        word: str,
        reason_class: ReasonClass = ReasonClass.EVENT,
        sentence: str = "",
        hint: str = "",
        prospect: str = "",
    ) -> Self:
        """Make a member that is its word and carries its row; `Reason(word)` finds one by the word alone."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.reason_class = reason_class
        member.sentence = sentence
        member.hint = hint
        member.prospect = prospect
        return member

    # A table, one row a reason: word and class, sentence, hint, and of retryable and final ones what another attempt
    # would meet.
    # fmt: off
    PULLED = ("Pulled", ReasonClass.SUCCESS,
        "The image was pulled and found on the daemon.",
        "Nothing to do.")
    ALREADY_PRESENT = ("AlreadyPresent", ReasonClass.SUCCESS,
        "The image was already on the daemon, so nothing was pulled.",
        "Nothing to do; set imagePullPolicy to Always to ask the registry on every run.")
    PUSHED = ("Pushed", ReasonClass.SUCCESS,
        "The image was pushed and the registry serves it under the tag.",
        "Nothing to do.")
    ALREADY_PUSHED = ("AlreadyPushed", ReasonClass.SUCCESS,
        "The registry already serves this content under the tag, so nothing was pushed.",
        "Nothing to do.")
    PUSH_SKIPPED = ("PushSkipped", ReasonClass.SUCCESS,
        "The tag exists in the registry with other content and ifExists is Skip, so nothing was pushed.",
        "Nothing to do; set ifExists to Replace where the tag is meant to move.")
    TAGGED = ("Tagged", ReasonClass.SUCCESS,
        "The target tag names the source image on the daemon.",
        "Nothing to do.")
    ALREADY_TAGGED = ("AlreadyTagged", ReasonClass.SUCCESS,
        "The target tag already named the source image, so nothing was changed.",
        "Nothing to do.")
    PROMOTED = ("Promoted", ReasonClass.SUCCESS,
        "The image was copied from the source registry to the target registry and checked on both sides.",
        "Nothing to do; status.evidence holds the digests of both sides.")
    COMPLETED = ("Completed", ReasonClass.SUCCESS,
        "Every step and member of the Session ended well.",
        "Nothing to do.")
    OPEN = ("Open", ReasonClass.SUCCESS,
        "The Session has no steps and accepts operations that name it.",
        "Set closed to true, or idleTimeoutSeconds, when it should end.")
    DRY_RUN_PASSED = ("DryRunPassed", ReasonClass.SUCCESS,
        "The dry run found nothing that would stop the operation; nothing was written.",
        "Set dryRun to false to perform the operation.")

    PENDING = ("Pending", ReasonClass.WAITING,
        "The object is accepted and waits for its turn.",
        "Nothing to do; if this lasts, look at the operator's Pod and its log.")
    THROTTLED = ("Throttled", ReasonClass.WAITING,
        "A limit of the daemon, the registry or the namespace is reached, so the operation waits for a free place.",
        "Wait, or raise the daemon's limit in the operator's settings.")
    SECRET_NOT_FOUND = ("SecretNotFound", ReasonClass.WAITING,
        "A Secret or ServiceAccount that the operation names does not exist in its namespace.",
        "Create the Secret or ServiceAccount in the same namespace; the operation goes on by itself once it exists.")
    SESSION_NOT_FOUND = ("SessionNotFound", ReasonClass.WAITING,
        "The Session named by sessionRef does not exist in this namespace.",
        "Create the Session, or correct sessionRef by creating the operation anew.")
    DAEMON_UNAVAILABLE = ("DaemonUnavailable", ReasonClass.WAITING,
        "The Docker daemon does not answer, so the operation has not started.",
        "Check that the daemon runs, and the operator's daemon address, TLS Secret and NetworkPolicy.")
    FAILED_CREATE = ("FailedCreate", ReasonClass.WAITING,
        "The API server does not let the operator create an operation of the Session now.",
        "Raise the ResourceQuota, or give the operator's ServiceAccount the right; it is tried again by itself.")
    SUSPENDED = ("Suspended", ReasonClass.WAITING,
        "The object is suspended, so nothing is done.",
        "Set suspend to false to go on.")
    PULLING = ("Pulling", ReasonClass.WAITING,
        "The daemon is pulling the image.",
        "Nothing to do; status.progress shows how far it is.")
    TAGGING = ("Tagging", ReasonClass.WAITING,
        "The daemon is setting the tag.",
        "Nothing to do.")
    PUSHING = ("Pushing", ReasonClass.WAITING,
        "The daemon is pushing the image.",
        "Nothing to do; status.progress shows how far it is.")
    RUNNING = ("Running", ReasonClass.WAITING,
        "The steps of the Session are being performed.",
        "Nothing to do; status.steps and status.active show how far it is.")

    RATE_LIMITED = ("RateLimited", ReasonClass.RETRYABLE,
        "The registry refused the request because too many were made.",
        "Name a Secret with an account of a higher quota, use a registry mirror in the daemon's settings, or wait.",
        "The registry counts within a window of time, and the pause before the next attempt lets that pass.")
    REGISTRY_UNAVAILABLE = ("RegistryUnavailable", ReasonClass.RETRYABLE,
        "The registry could not be reached from the daemon, or answered with a server error.",
        "Check the host name, the registry, and the daemon's DNS and proxy; a NetworkPolicy may block the network.",
        "A registry, its storage, or the way to it comes back without anybody's doing here.")
    SECRET_INVALID = ("SecretInvalid", ReasonClass.RETRYABLE,
        "The named Secret cannot be read as registry credentials, or holds none for this registry host.",
        "Give the Secret an entry for this very host and port; basic-auth needs an imageops.dev/registry annotation.",
        "External Secrets or a person may fill the Secret; it is read anew for each attempt.")
    DAEMON_CONNECTION_LOST = ("DaemonConnectionLost", ReasonClass.RETRYABLE,
        "The connection to the Docker daemon broke before it reported an end.",
        "Check the daemon's Pod or host for restarts, and the network between it and the operator.",
        "The daemon restarts, and what it had finished is not done again.")
    TIMED_OUT = ("TimedOut", ReasonClass.RETRYABLE,
        "The attempt took longer than timeoutSeconds and was stopped.",
        "Raise timeoutSeconds, or look for a slow network between the daemon and the registry.",
        "The line may be faster, and layers that arrived are not fetched again on the containerd store.")
    AUTH_EXPIRED = ("AuthExpired", ReasonClass.RETRYABLE,
        "The registry accepted the credential first and then no longer: it expired or was changed.",
        "Renew the token in the Secret, by External Secrets or the like; the next attempt reads it anew.",
        "What renews the token may have done so; the Secret is read anew.")
    STORAGE_FULL = ("StorageFull", ReasonClass.RETRYABLE,
        "The daemon has no space left for the image.",
        "Free space on the daemon's data volume, or enlarge its PersistentVolumeClaim.",
        "Pruning, or another image's removal, frees space.")
    QUOTA_EXCEEDED = ("QuotaExceeded", ReasonClass.RETRYABLE,
        "The registry has no room left for this: a quota of storage, images or repositories is used up.",
        "Delete images or have the quota raised in the registry; what is tried again then goes through.",
        "A clean-up of the registry, or a raised quota, makes room.")
    CONTENT_CORRUPT = ("ContentCorrupt", ReasonClass.RETRYABLE,
        "What arrived is not what its digest says: content was damaged on the way, or where it is kept.",
        "If it repeats, look for a proxy or registry mirror that damages content, and at the registry's storage.",
        "The bytes come anew, over another connection or from another mirror.")
    CERTIFICATE_NOT_YET_VALID = ("CertificateNotYetValid", ReasonClass.RETRYABLE,
        "The registry's certificate is not valid yet by the daemon's clock.",
        "Set the clock of the daemon's host right (NTP), or wait until the new certificate's time has begun.",
        "Clocks get set, and time passes.")
    REGISTRY_ERROR = ("RegistryError", ReasonClass.RETRYABLE,
        "The registry, or something before it, refused in words that the operator does not know.",
        "Run docker pull or push on the daemon's host to see the words; the operator's log has them at debug level.",
        "Words that nobody knows may tell of a fault that passes; it is repeated only where no password is at stake.")
    DAEMON_ERROR = ("DaemonError", ReasonClass.RETRYABLE,
        "The Docker daemon reported an error that the operator does not know.",
        "Look at the daemon's own log; the operator's log shows the redacted text at debug level.",
        "An answer that nobody knows may be that of a passing state.")
    INTERNAL_ERROR = ("InternalError", ReasonClass.RETRYABLE,
        "The operator met an error of its own.",
        "Look at the operator's log at the time of the attempt for the place in the code, and report it.",
        "A fault of the operator may depend on an order of events that does not come again.")
    IMAGE_CHANGED = ("ImageChanged", ReasonClass.RETRYABLE,
        "The check afterwards found other content than the operation had produced; something else changed the tag.",
        "Look for another writer of this tag on the daemon or in the registry, and use a digest or an own tag.",
        "The other writer may be done; the next attempt looks at what is there anew.")
    INTERRUPTED = ("Interrupted", ReasonClass.RETRYABLE,
        "The operator stopped while the attempt ran; it is taken up again and does not count against backoffLimit.",
        "Nothing to do; if this repeats, look at the restarts and memory limit of the operator's Pod.",
        "The next process takes it up.")

    INVALID_REFERENCE = ("InvalidReference", ReasonClass.FINAL,
        "The image reference is not valid.",
        "Write image, source or target as host/repository:tag or host/repository@sha256:digest, in lower case.",
        "The reference stays what it is until the spec is changed.")
    INVALID_SPEC = ("InvalidSpec", ReasonClass.FINAL,
        "The spec contradicts itself or has a value that is not allowed.",
        "Correct the field of spec that the message names and apply the object again.",
        "The spec stays what it is until it is changed.")
    AUTH_FAILED = ("AuthFailed", ReasonClass.FINAL,
        "The registry refused the credential, or refuses access to this repository without one.",
        "Check the Secret of secretRef or the ServiceAccount's imagePullSecrets, and the account's repository rights.",
        "The same credential has the same rights; sent again and again it can lock its account.")
    IMAGE_NOT_FOUND = ("ImageNotFound", ReasonClass.FINAL,
        "The registry has no such image, or hides it from this account.",
        "Check name, tag and digest, and that the account in the Secret may read the repository.",
        "The registry answered, and it knows no such image; one that is pushed later is asked for by a new run.")
    IMAGE_NOT_ON_DAEMON = ("ImageNotOnDaemon", ReasonClass.FINAL,
        "The daemon does not have this image.",
        "Pull it first with an ImagePull on the same daemonName, or correct the reference.",
        "Nothing of this operation brings the image to the daemon.")
    CREDENTIAL_HELPER_UNSUPPORTED = ("CredentialHelperUnsupported", ReasonClass.FINAL,
        "The Secret names a credential helper program, and the operator runs none.",
        "Put the user name and password, or a token, into the Secret; External Secrets can keep it fresh.",
        "The operator runs no helper programs, however often it is asked.")
    PLATFORM_NOT_FOUND = ("PlatformNotFound", ReasonClass.FINAL,
        "The image does not exist for the platform that is asked.",
        "Choose one of the platforms that the image has, or leave platforms out for the daemon's own.",
        "The image's index or configuration says so, and its digest fixes it.")
    ENGINE_UNSUPPORTED = ("EngineUnsupported", ReasonClass.FINAL,
        "The daemon or its image store cannot do what is asked.",
        "Name a daemon with the containerd image store in daemonName, or set digestPolicy to Report.",
        "The daemon stays what it is until it is upgraded or another is named.")
    PLATFORM_CONFLICT = ("PlatformConflict", ReasonClass.FINAL,
        "The daemon's image store holds one platform of a reference, and another one is asked for at the same time.",
        "Use separate tags for the platforms, or a daemon with the containerd image store.",
        "Both platforms stay asked for; each attempt would take the other's image away.")
    CERTIFICATE_INVALID = ("CertificateInvalid", ReasonClass.FINAL,
        "The daemon does not trust the registry's certificate.",
        "Add the registry's CA to the daemon's certificates (certs.d), or renew the registry's certificate.",
        "The daemon trusts what it is configured to trust, and a certificate does not mend itself.")
    REGISTRY_POLICY_DENIED = ("RegistryPolicyDenied", ReasonClass.FINAL,
        "The registry does not serve this image because of a policy of its own, such as a scan for vulnerabilities.",
        "Mend or sign the image, wait for its scan, or have an exception made in the registry; then set a new token.",
        "The registry judged this very content, and does so again until content or policy change.")
    TAG_PROTECTED = ("TagProtected", ReasonClass.FINAL,
        "The registry protects this tag: it may not be moved or made, whatever ifExists says.",
        "Use a new tag, or have the rule of the registry changed that makes tags immutable or protects this one.",
        "The registry's rule holds for every attempt.")
    LAYER_TOO_LARGE = ("LayerTooLarge", ReasonClass.FINAL,
        "The registry, or a proxy before it, does not take a layer of this size.",
        "Raise the limit of the proxy before the registry (client_max_body_size in nginx), or make smaller layers.",
        "The layer stays as large as it is, and all its bytes would be sent for nothing.")
    TAG_CONFLICT = ("TagConflict", ReasonClass.FINAL,
        "The target tag exists with other or unknown content and ifExists does not allow replacing it.",
        "Use a new tag, or set ifExists to Replace.",
        "What the tag names stays until somebody moves it, which this operation may not.")
    PRECONDITION_FAILED = ("PreconditionFailed", ReasonClass.FINAL,
        "The target tag is not what preconditions demand, so it was left as it is.",
        "Look at what the tag names now, then correct preconditions.",
        "The demand was on what the tag is at this moment; a later match would be chance.")
    DIGEST_MISMATCH = ("DigestMismatch", ReasonClass.FINAL,
        "The content that was found does not have the digest that was asked for or expected.",
        "Look for a registry proxy or daemon store that rewrites manifests, or set digestPolicy to Report.",
        "The content differs by construction: it was changed on purpose, or made inconsistent.")
    SESSION_CLOSED = ("SessionClosed", ReasonClass.FINAL,
        "The Session named by sessionRef is closed and accepts no further operation.",
        "Create the operation with another Session, or without sessionRef.",
        "A Session is closed for good within its run.")
    SESSION_LIMIT_EXCEEDED = ("SessionLimitExceeded", ReasonClass.FINAL,
        "The operation would pass the limits of its Session.",
        "Raise limits in the Session, or use another one.",
        "What the Session has used up it does not get back.")
    STEP_FAILED = ("StepFailed", ReasonClass.FINAL,
        "At least one step of the Session failed.",
        "Read status.errors, correct the cause, and set the annotation imageops.dev/retryFailedAt to a new value.",
        "Each step has used up its own attempts.")
    MEMBER_FAILED = ("MemberFailed", ReasonClass.FINAL,
        "At least one operation that joined the Session failed.",
        "Read status.errors and the operations that carry the Session's label.",
        "Each member has used up its own attempts.")
    ADMISSION_DENIED = ("AdmissionDenied", ReasonClass.FINAL,
        "An admission policy, a webhook or a rule of the definition does not accept an operation of the Session.",
        "Correct the step, or have the policy changed and give the annotation imageops.dev/retryFailedAt a new value.",
        "A policy judges the same object in the same way.")
    DAEMON_NOT_CONFIGURED = ("DaemonNotConfigured", ReasonClass.FINAL,
        "The operator has no daemon of this name.",
        "Use a daemonName that the administrator configured, or leave it out for the operator's own.",
        "Daemons are named by the operator's settings, which a new process reads.")
    SKIPPED = ("Skipped", ReasonClass.FINAL,
        "The step did not start because an earlier one failed or the Session ended.",
        "Correct the failed step, then set the annotation imageops.dev/retryFailedAt to a new value.",
        "What it waited for has failed.")
    CANCELLED = ("Cancelled", ReasonClass.FINAL,
        "The run was cancelled.",
        "Set cancel to false and the annotation imageops.dev/requestedAt to a new value to run it again.",
        "Somebody wished it so.")
    DEADLINE_EXCEEDED = ("DeadlineExceeded", ReasonClass.FINAL,
        "The run took longer than activeDeadlineSeconds and was stopped.",
        "Raise activeDeadlineSeconds, or look at status.history for what took so long.",
        "The time of the run is over.")
    BACKOFF_LIMIT_EXCEEDED = ("BackoffLimitExceeded", ReasonClass.FINAL,
        "Every allowed attempt failed.",
        "status.error keeps the cause: correct it, then set the annotation imageops.dev/requestedAt to a new value.",
        "All attempts that the spec allows were made.")

    IMAGE_MISSING = ("ImageMissing", ReasonClass.EVENT,
        "A check found that the image is no longer on the daemon, so it is pulled again.",
        "Look for a prune job or disk pressure on the daemon if this repeats.")
    REMOTE_DIGEST_CHANGED = ("RemoteDigestChanged", ReasonClass.EVENT,
        "A check found that the tag has other content in the registry now.",
        "Use a digest instead of a tag where the content must not change.")
    CHECK_FAILED = ("CheckFailed", ReasonClass.EVENT,
        "A periodic check could not be made; the last result stands.",
        "Check that the daemon and the registry are reachable, and the Secret; the next interval checks again.")
    TTL_IGNORED = ("TTLIgnored", ReasonClass.EVENT,
        "ttlSecondsAfterFinished is ignored because a GitOps tool manages the object and would create it again.",
        "Remove ttlSecondsAfterFinished, or delete the object in its source.")
    FINALIZER_RELEASED = ("FinalizerReleased", ReasonClass.EVENT,
        "The object was let go without deleting the image, because its daemon is away or no longer configured.",
        "Remove the image from the daemon by hand if it is still there.")
    RETRYING = ("Retrying", ReasonClass.EVENT,
        "The attempt failed and will be made again.",
        "status.error names the cause, often a Secret, policy or network, and status.nextRetryTime the time.")
    FAILED_DELETE = ("FailedDelete", ReasonClass.EVENT,
        "The API server does not let the operator delete an object whose time is over or a former run's operation.",
        "Give the operator's ServiceAccount the right, or correct the policy; it is tried again by itself.")
    # fmt: on
