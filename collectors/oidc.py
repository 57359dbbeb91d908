"""Tokens of an OpenID Connect provider, for kubeconfigs with the older `auth-provider: oidc`.

The client library's own refresh speaks with the provider without verifying its certificate unless
the kubeconfig names a CA, and fails when it names one; so it is done here. The kubeconfig is never
written: a refreshed token lives as long as this program. Source: OpenID Connect Core 1.0 section
12, Discovery 1.0 section 4; client-go/plugin/pkg/client/auth/oidc/oidc.go.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from collectors.api_errors import ApiError, status_of, unreachable
from collectors.credentials import Credential, file_or_data, usable_token
from collectors.sanitize import printable_bytes
from collectors.source import Reason

PROVIDER_TIMEOUT = 15.0
"""Seconds for one request to the provider."""

_MAX_ANSWER = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Discovery(msgspec.Struct):
    token_endpoint: str


class _Tokens(msgspec.Struct):
    id_token: str = ""
    refresh_token: str = ""


class _Claims(msgspec.Struct):
    exp: float | None = None


_Shape = TypeVar("_Shape", _Discovery, _Tokens)


class OidcTokens:
    """The id-token of a user, refreshed with the refresh-token when it has ended or was refused."""

    def __init__(self, user_name: str, config: Mapping[str, str]) -> None:
        self._user = user_name
        self._config = config
        self._id_token = config.get("id-token", "")
        self._refresh_token = config.get("refresh-token", "")
        self._given = False

    async def credential(self) -> Credential:
        """The token of the kubeconfig first, if it has not ended; a refreshed one after that."""
        if self._id_token and not self._given:
            self._given = True
            kept = self._credential()
            if kept.expires is None or kept.expires > datetime.now(UTC):
                return kept
        await self._refresh()
        return self._credential()

    def _credential(self) -> Credential:
        expires = token_end(self._id_token)
        return Credential(usable_token(self._id_token, self._what), expires=expires)

    @property
    def _what(self) -> str:
        return f"The oidc auth-provider of user {self._user!r}"

    async def _refresh(self) -> None:
        needed = ("idp-issuer-url", "client-id")
        missing = [name for name in needed if not self._config.get(name)]
        if not self._refresh_token:
            missing.append("refresh-token")
        if missing:
            raise self._failure(
                f"has no valid id-token and cannot refresh it without {', '.join(missing)}: "
                "log in again"
            )
        issuer = self._config["idp-issuer-url"].rstrip("/")
        found = await self._ask(f"{issuer}/.well-known/openid-configuration", None, _Discovery)
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token,
            "client_id": self._config["client-id"],
        }
        if secret := self._config.get("client-secret"):
            form["client_secret"] = secret
        tokens = await self._ask(found.token_endpoint, form, _Tokens)
        if not tokens.id_token:
            raise self._failure(f"got no id_token from {issuer}: log in again")
        self._id_token = tokens.id_token
        self._refresh_token = tokens.refresh_token or self._refresh_token

    async def _ask(self, url: str, form: Mapping[str, str] | None, shape: type[_Shape]) -> _Shape:
        import aiohttp

        if not url.startswith("https://"):
            raise self._failure(f"will not send tokens to {url}: it is not https")
        timeout = aiohttp.ClientTimeout(total=PROVIDER_TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=self._tls())
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request("POST" if form else "GET", url, data=form) as answer,
            ):
                body = await answer.content.read(_MAX_ANSWER)
                while len(body) < _MAX_ANSWER and (more := await answer.content.read(_MAX_ANSWER)):
                    body += more
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._failure(f"gave no token: {unreachable('', url, error).message}") from None
        if status != 200:
            said = status_of(body)[1] or printable_bytes(body[:300])
            raise self._failure(f"was refused by {url} (HTTP {status}): {said}; log in again")
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise self._failure(f"cannot read the answer of {url}: {problem}") from None

    def _tls(self) -> ssl.SSLContext:
        authority = file_or_data(
            self._config.get("idp-certificate-authority", ""),
            self._config.get("idp-certificate-authority-data", ""),
            f"idp-certificate-authority of user {self._user!r}",
        )
        try:
            return ssl.create_default_context(cadata=authority.decode("ascii") or None)
        except (ssl.SSLError, ValueError):
            raise self._failure("has an idp-certificate-authority that is no certificate") from None

    def _failure(self, what: str) -> ApiError:
        return ApiError(Reason.UNAUTHORIZED, f"{self._what} {what}")


def token_end(token: str) -> datetime | None:
    """When a JSON Web Token ends (`exp`, RFC 7519 section 4.1.4); None when it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
        return _EPOCH + timedelta(seconds=claims.exp) if claims.exp is not None else None
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError):
        return None
