"""Write the tables of docs/registries.md from the answers that registries give, and what operations come to.

python -m tests.support.registry_pages --write
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.registry_answers import ENGINES, SITUATIONS, Answer, Credential, Outcome, answers, outcomes

PAGE = Path(__file__).parents[2] / "docs" / "registries.md"
PRODUCTS = {
    "harbor": "Harbor",
    "quay": "Quay",
    "ghcr": "GHCR",
    "gitlab": "GitLab",
    "artifactory": "Artifactory",
    "nexus": "Nexus",
    "ecr": "ECR",
    "acr": "ACR",
    "artifact-registry": "Artifact Registry",
    "docker-hub": "Docker Hub",
    "gitea": "Gitea, Forgejo",
    "alibaba": "Alibaba",
    "cloudflare": "Cloudflare in front",
    "others": "any",
}
_BETWEEN = re.compile(
    r"(<!-- tables, written by tests/support/registry_pages.py -->\n).*?(<!-- end of tables -->)", re.DOTALL
)


def tables() -> Iterator[str]:
    """Yield the lines of all tables."""
    known, found = answers(), outcomes()
    for situation in SITUATIONS:
        yield f"\n### {situation.capitalize()}\n\n"
        yield from _head("answer")
        for product, shown in PRODUCTS.items():
            if product in {"cloudflare", "others"} and situation not in {"rate limit", "too large layer"}:
                continue
            of_it = [answer for answer in known if (answer.product, answer.situation) == (product, situation)]
            if not of_it and product != "others":
                yield f"| {shown} | not known | | |\n"
            for answer in of_it:
                yield _row(shown, answer.status, answer, found)
    yield "\n### Other answers\n\n"
    yield from _head("answer")
    for answer in known:
        if answer.situation == "other":
            yield _row(PRODUCTS[answer.product], f"{answer.case}, {answer.status}", answer, found)


def with_tables(page: str) -> str:
    """Return the page with its tables."""
    return _BETWEEN.sub(lambda match: f"{match[1]}{''.join(tables())}\n{match[2]}", page)


def _head(what: str) -> Iterator[str]:
    yield f"| registry | {what} | Engine 20.10 | Engine 29 |\n|---|---|---|---|\n"


def _row(shown: str, what: object, answer: Answer, found: dict[tuple[str, str], Outcome]) -> str:
    name = f"{shown}, {answer.operation}" if answer.situation == "no right" else shown
    cells = " | ".join(_cell(answer, found.get((engine, answer.name))) for engine in ENGINES)
    return f"| {name} | {what} | {cells} |\n"


def _cell(answer: Answer, outcome: Outcome | None) -> str:
    if outcome is None:
        return "as on Engine 29"
    times = "repeated" if outcome.repeated else "once"
    log_ins = f", {outcome.log_ins}" if answer.credential is Credential.WRONG else ""
    return f"`{outcome.reason}`, {times}{log_ins}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.registry_pages", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write the tables into the page")
    parser.parse_args(arguments)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
