"""Own the table of words: what daemons, registries and what stands before them say, and which reason it means.

The first rule that matches decides, so a more exact cause stands before the general words that come along with it:
"unauthorized: token expired", "denied: rate limit", "failed to fetch oauth token: connection refused". It was made from
messages of real engines; tests/unit/engine/messages has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from imageops.api.reasons import Reason
from imageops.api.registry_hints import BROKEN_IMAGE_HINT, NEWER_ENGINE_HINT, PROXY_HINT, STORAGE_HINT


class Call(StrEnum):
    """What the daemon was asked to do."""

    DESCRIBE = "describe"
    INSPECT = "inspect"
    MANIFESTS = "manifests"
    DISTRIBUTION = "distribution"
    PULL = "pull"
    PUSH = "push"
    TAG = "tag"
    REMOVE = "remove"


LOCAL = frozenset({Call.INSPECT, Call.MANIFESTS, Call.PUSH, Call.TAG, Call.REMOVE})
REMOTE = frozenset({Call.DISTRIBUTION, Call.PULL, Call.PUSH})
_ALL = LOCAL | REMOTE
_PULLS = frozenset({Call.DISTRIBUTION, Call.PULL})
_PUSH = frozenset({Call.PUSH})


@dataclass(frozen=True, slots=True)
class Rule:
    """The reason for a text that has one of the phrases, in one of the calls."""

    reason: Reason
    phrases: re.Pattern[str]
    calls: frozenset[Call]
    hint: str | None = None
    """What to do, where that is not what the reason says."""


def _rule(reason: Reason, calls: frozenset[Call], *phrases: str, hint: str | None = None) -> Rule:
    return Rule(reason, re.compile("|".join(phrases), re.IGNORECASE), calls, hint)


STATUS = r"\b(?:status:?|HTTP|URL:|STORAGE:|status code:?) "
"""What stands before the registry's HTTP status, where an engine tells it; addresses have become URL or STORAGE."""
_WRONG = r"(?:incorrect|invalid|wrong|bad|malformed|not valid)\b"
_OR = r"(?:,? or |, |/)(?:(?:has|have|is|are|been|already|an?) ){0,3}"

RULES = (
    _rule(
        Reason.INVALID_REFERENCE,
        _ALL,
        r"invalid reference format",
        r"invalid tag format",
        r"invalid repository name",
        r"repository name must (?:be lowercase|be canonical|not be longer|have at least)",
        r"refusing to create (?:a tag with a digest|an ambiguous tag)",
        r"cannot push a digest reference",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        REMOTE,
        r"\bproxyconnect\b",
        r"Proxy Authentication Required",
        # What Go says of a proxy that refuses to connect: the status' words alone, after the request that was meant.
        r"\b(?:Get|Head|Post|Put|Patch) \"(?:URL|STORAGE)\": (?:Forbidden|Method Not Allowed|Bad Gateway|Unauthorized"
        r"|Service Unavailable|Gateway Time-?out|Internal Server Error|Bad Request|Not Found|Too Many Requests)\s*$",
        hint=PROXY_HINT,
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        REMOTE,
        rf"{STATUS}5\d\d\b",
        r"\b5\d\d (?:Internal Server Error|Not Implemented|Bad Gateway|Service (?:Temporarily )?Unavailable)",
        r"\b5\d\d (?:Gateway Time-?out|Insufficient Storage|HTTP Version Not Supported)",
        # A web server that is no registry.
        r"media ?type (?:and no default available: )?\"?text/html",
        r"\(text/html\) from remote: not found",
        r"error parsing HTTP 404 response body: invalid character '<'",
        r"^unknown: \s{0,9}<(?:!doctype|html)",
    ),
    _rule(
        Reason.PLATFORM_NOT_FOUND,
        _ALL,
        # Before the rate limits: these repeat a platform, and its words are a user's.
        r"no matching manifest for",
        r"no match for platform",
        r"does not (?:provide|match) (?:the )?(?:specified|requested|any) platform",
        r"multiple matching manifests found but no specific platform requested",
        r"image operating system .{1,80} cannot be used",
    ),
    _rule(
        Reason.INVALID_SPEC,
        _ALL,
        r"unknown operating system or architecture",
        r"is an invalid (?:OS |architecture |platform )?component of",
    ),
    _rule(
        Reason.RATE_LIMITED,
        REMOTE,
        r"too ?many ?requests",
        r"too many failed login",
        rf"{STATUS}429\b",
        r"\brate[ -]?limit",
        r"\brate exceeded",
        r"\bretry[- ]after\b",
        r"\bquota metric\b",
        r"\bflow control\b",
        r"\bdata limit exceeded",
        r"\berror code: 1015\b",
        r"\brequests per (?:second|minute|hour|day)",
    ),
    _rule(
        Reason.CERTIFICATE_NOT_YET_VALID,
        REMOTE,
        r"certificate has expired or is not yet valid: current time \S{1,40} is before",
        r"certificate is not yet valid",
    ),
    _rule(
        Reason.CERTIFICATE_INVALID,
        REMOTE,
        r"x509:",
        r"failed to verify certificate",
        r"remote error: tls:",
        r"tls: (?:first record does not look like|bad|unknown|unsupported|expired|certificate|handshake failure)",
        r"server gave HTTP response to HTTPS client",
    ),
    _rule(
        Reason.STORAGE_FULL,
        _ALL,
        r"(?<!error from registry: )no space left on device",
        r"disk quota exceeded",
    ),
    _rule(
        # The address that a registry has redirected to for a layer, not the registry: it is good for a time only.
        Reason.REGISTRY_UNAVAILABLE,
        _PULLS,
        r"<Error>\s{0,9}<Code>",
        r"STORAGE: 4\d\d\b",
        r"\brequest has expired\b",
        hint=STORAGE_HINT,
    ),
    _rule(
        Reason.QUOTA_EXCEEDED,
        REMOTE,
        r"\bquotas?\b[^.]{0,80}\b(?:exceed|reached|used up|full)",
        r"\b(?:exceed\w*|over|reached)\b[^.]{0,60}\bquotas?\b",
        r"will exceed the configured upper limit",
        r"overflow the hard limit",
        r"\b(?:storage|size|account) ?limit has been (?:reached|exceeded)",
        r"exceeded (?:its|the|your) (?:storage|size) ?(?:limit|quota)",
        r"exceeded the limit of private repositories",
        r"disk usage is too high",
        r"LimitExceededException",
        r"reached (?:its|the) (?:limit|maximum)",
        r"contains \d{1,9} repositories, limit is",
        r"AccountSizeOverQuota",
        r"error from registry: .{0,200}no space left on device",
        r"storage is full\b",
    ),
    _rule(
        Reason.TAG_PROTECTED,
        _PUSH,
        r"\bimmutab(?:le|ility)\b",
        r"tag ?already ?exists",
        r"cannot be (?:overwritten|updated)",
        r"does not allow updating",
        r"cannot (?:update|overwrite|overwritten) (?:the |an? )?(?:existing |asset|tag|image|manifest)",
        r"operation is disallowed",
        r"overwrit(?:ing|e) is not allowed",
        r"not allowed to overwrite",
        r"permissions? to (?:delete/)?overwrite",
        r"\btag\b[^.]{0,150}\b(?:is|are) (?:protected|locked|read-only)",
        r"\bprotected tag",
        r"\b(?:image|manifest|repository) is locked",
    ),
    _rule(
        Reason.REGISTRY_POLICY_DENIED,
        REMOTE,
        rf"{STATUS}(?:412|451)\b",
        r"due to configured policy",
        r"\bnot signed\b",
        r"download blocking policy",
        r"blocked by [^.]{0,80}(?:polic|curation|xray|firewall|scan)",
        r"\bquarantined?\b",
        r"organization'?s'? policy|\borg policy\b",
        r"vpcServiceControls",
        r"unavailable for legal reasons",
        r"\bvulnerabilit(?:y|ies)\b[^.]{0,120}\b(?:polic|block|prevent|denied)",
    ),
    _rule(
        Reason.LAYER_TOO_LARGE,
        _PUSH,
        rf"{STATUS}413\b",
        r"request entity (?:is )?too large|entity ?too ?large|payload too large|content too large",
        r"larger than (?:the )?(?:allowed|maximum)",
        r"exceeds? the (?:maximum|allowed)(?: allowed)? (?:layer |blob |upload )?size",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        REMOTE,
        # It is there and does not serve for now, or not this daemon's address: no credential mends that.
        r"\bread[- ]only\b",
        r"\bmaintenance\b",
        r"\bundergoing a rename\b",
        r"error from registry: service unavailable",
        r"client with IP [^.]{1,20}[0-9.]{0,40}'? is not allowed",
        r"\bip\b[^.]{0,40}\bnot in the (?:white|allow) ?list",
        r"Attention Required!|Just a moment\.\.\.",
    ),
    _rule(
        # Longer words, some of which sound as if a token had been good until now.
        Reason.AUTH_FAILED,
        REMOTE,
        r"password was incorrect or you're required",
        # Wrong or expired: whoever says both does not know that it was good before.
        rf"\b{_WRONG}{_OR}expired",
        rf"\bexpired{_OR}{_WRONG}",
    ),
    _rule(
        Reason.AUTH_EXPIRED,
        REMOTE,
        r"\b(?:token|credentials?|session|jwt|authorization)\b[^.:;]{0,40}\bexpired",
        r"\bexpired ?(?:token|credentials?)",
    ),
    _rule(
        Reason.ENGINE_UNSUPPORTED,
        _ALL,
        r"graphdriver backed image store doesn't support",
        r"unsupported (?:manifest )?media ?type",
        r"unexpected media type",
        r"media type .{1,120} is no longer supported",
        r"encountered remote .{1,120} when fetching",
        # What Engine 29 says of a signature, or another artifact in the dress of an image.
        r"mismatched image rootfs and manifest layers",
    ),
    _rule(
        Reason.ENGINE_UNSUPPORTED,
        _ALL,
        # What Engine 20.10 says of any manifest it does not know: it takes it for one of schema 1.
        r"missing signature key",
        r"unsupported schema version",
        # Layers that arrived as they are, and that a graph driver cannot stack, or an engine before 23.0 not unpack, as
        # they are compressed by zstd.
        r"max depth exceeded",
        r"Error processing tar file\(exit status 1\): (?:archive/tar: invalid tar header|unexpected EOF)",
        hint=NEWER_ENGINE_HINT,
    ),
    _rule(
        # The manifest and the configuration are what they are called: the image itself does not fit together.
        Reason.DIGEST_MISMATCH,
        REMOTE,
        r"layers from manifest don't match image configuration",
        hint=BROKEN_IMAGE_HINT,
    ),
    _rule(
        Reason.CONTENT_CORRUPT,
        REMOTE,
        r"filesystem layer verification failed",
        r"(?:image config|manifest) verification failed for digest",
        r"unexpected commit digest",
        r"got digest .{1,160}, expected ",
        r"digest (?:mismatch|did not match|invalid)",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        REMOTE,
        r"connection (?:refused|reset|timed out)",
        r"no such host",
        r"server misbehaving",
        r"failure in name resolution",
        r"\btimeout\b|timed out",
        r"deadline exceeded",
        r"(?:network is|host is) (?:unreachable|down)|no route to host",
        r"\bEOF\b",
        r"broken pipe",
        r"closed idle connection|use of closed network connection|transport connection broken",
        r"malformed HTTP",
        r"blob upload unknown",
        r"unable to decode token response",
    ),
    _rule(
        Reason.AUTH_FAILED,
        REMOTE,
        r"no basic auth credentials",
        r"authentication required",
        r"\bunauthorized\b",
        r"\bunauthenticated\b",
        r"(?:incorrect|invalid|wrong|bad) (?:username|user name|user|password|credentials?|login)",
        r"user or password is invalid",
        r"invalid authentication",
        r"authorization token is invalid",
        r"denied\b",
        r"\bforbidden\b",
        r"\bnot authorized\b",
        r"(?:does|do) not have (?:the )?permission",
        r"not enough permissions",
        r"\bnot allowed to\b",
        r"insufficient_scope",
        r"authorization (?:failed|required)",
        rf"{STATUS}40[13]\b",
        r"failed to authorize",
        r"invalid_grant",
        r"recurrent login failures",
        r"could not find robot|robot account",
        r"user has been disabled",
        r"email must be verified",
        r"personal access token",
        r"application not registered",
        r"bad props auth token",
        r"token failed verification",
        r"\bauthGroup\.Verify\b|\breqPackageAccess\b",
    ),
    _rule(
        Reason.IMAGE_NOT_ON_DAEMON,
        LOCAL,
        r"no such image",
        r"image does not exist locally",
        r"(?:tag|reference) does not exist",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _PUSH,
        # The registry has lost what it took a moment ago.
        r"\bblob unknown\b|\bunknown blob\b",
    ),
    _rule(
        Reason.IMAGE_NOT_FOUND,
        REMOTE,
        r"\bmanifest unknown\b",
        r"\bname unknown\b",
        r"\bblob unknown\b|\bunknown blob\b",
        r"repository name not known to registry",
        r"\brepo(?:sitory)?\b.{0,300} (?:does|is) not exist",
        r"\b(?:repository|artifact|project|manifest|image) .{1,300}\bnot found",
        r"\bIMAGE(?::)? not found",
        r"from remote: not found",
        r"content at (?:URL|STORAGE) not found",
    ),
    _rule(
        Reason.IMAGE_CHANGED,
        _PUSH,
        # The registry took the manifest and did not name it. Docker 28 sees that itself; Engine 29 believes that all is
        # well, and the look afterwards tells.
        r"invalid content digest in response",
    ),
    _rule(
        Reason.IMAGE_NOT_FOUND,
        _PULLS,
        # A 404 without a word is one of the manifest: a token service's stands behind the request that was meant.
        r"^error parsing HTTP 404 response body: unexpected end of JSON input(?:: \"(?:\s|\\[nrt]){0,9}\")?\s{0,9}$",
    ),
    _rule(
        # The status is known and no fault of the registry's own: it may mean the credential.
        Reason.REGISTRY_ERROR,
        REMOTE,
        r"error parsing HTTP 4(?!04)\d\d",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        REMOTE,
        # An answer that is none: a page, or a body cut short.
        r"looking for beginning of (?:value|object key string)",
        r"after top-level value",
        r"unexpected end of JSON input",
        r"page not found",
        r"invalid checksum digest",
        r"received unexpected HTTP status",
        r"missing or empty Content-(?:Length|Type) header",
    ),
)

THE_REGISTRYS = re.compile(
    r"^error from registry\b|^unknown: |^errors:|^\w+ \"(?:URL|STORAGE)\": |unexpected status from|error parsing HTTP|"
    r"^(?:manifest|blob upload|size|tag|digest|name|range|pagination number|manifest blob)[a-z ]{0,20} invalid\b|"
    r"^(?:unsupported|unavailable)\b|failed to resolve reference|failed to fetch (?:oauth|anonymous) token|"
    r"blob upload invalid|download failed after attempts=\d{1,3}: unknown: ",
    re.IGNORECASE,
)
"""By this an engine marks that it only passes on what a registry said."""

CLEARLY_A_RIGHT = re.compile(
    r"not authorized to|unauthorized to access repository|not have (?:the )?permission|permission_denied"
    r"|Permission .{1,300} denied|insufficient_scope|resource is not authorized|reqPackageAccess|not allowed to"
    r"|not enough permissions|access denied for|may not exist|SAML",
    re.IGNORECASE,
)
"""Words that name a right that lacks, which no fault that passes would use."""
A_401 = re.compile(rf"{STATUS}401\b|\bunauthorized\b|no basic auth credentials|authentication required", re.IGNORECASE)
