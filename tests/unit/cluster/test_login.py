from __future__ import annotations

from imageops.cluster.login import Login


async def test_the_same_credentials_give_the_same_session() -> None:
    """And others another one; none without any."""
    found: list[str | None] = [None]
    login = Login(lambda **_: found[0], lambda credentials: [credentials])
    assert await login.log_in(memo=None) is None
    found[0] = "one"
    first = await login.log_in()
    assert first == ["one"]
    assert await login.log_in() is first
    found[0] = "two"
    assert await login.log_in() == ["two"]
