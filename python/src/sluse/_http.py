"""Asking servers of the hospital's network: with deadlines, without redirects, and without telling one server another's secret."""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from . import errors

#: Seconds without a byte after which a connection is given up.
SILENCE = 60.0
#: Answers after which the same may go well later.
_LATER = frozenset([429, 500, 502, 503, 504])
#: Bounds of the pauses between tries, seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_BLOCK = 1 << 20
#: Bytes of the longest answer that is held in memory.
_LONGEST_ANSWER = 16 << 20
#: What a lost connection is, told from this host's own failures.
_LOST = (ConnectionError, TimeoutError, ssl.SSLError)
_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched whole."""

    bytes: int
    lines: int
    last_line: bytes
    sha256: str


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another place may be another server: none is followed."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Server:
    """A server, the secret that it is asked with, and until when."""

    def __init__(self, url: str, *, secret: Optional[str], patience: float, authority: Optional[str], pause: float = _FIRST_PAUSE):
        self._origin = _origin(url)
        if self._origin[0] != "https" and self._origin[1] not in _LOOPBACK:
            raise errors.ConfigurationError(f"{url} is not asked over TLS", hints=["Write https://…"])
        self._secret = secret
        self._until = time.monotonic() + patience
        self._pause = pause
        context = ssl.create_default_context(cafile=authority)
        # Nor through a proxy, whatever the environment says.
        handlers = (urllib.request.ProxyHandler({}), _NoRedirects, urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, url: str, headers: Mapping[str, str], *, method: str = "GET", data: Optional[bytes] = None) -> Answer:
        """One request, tried again until it is answered otherwise than with "later"."""
        return self._until_answered(lambda: self._ask_once(url, headers, method, data))

    def fetch(
        self, url: str, headers: Mapping[str, str], file: Path, *, at_most: int, with_secret: bool = True, data: Optional[bytes] = None
    ) -> Fetched:
        """Fetches a file, from its beginning again where that breaks off, and makes it durable."""
        return self._until_answered(lambda: self._fetch_once(url, headers, file, at_most, with_secret, data))

    def wait(self, seconds: float) -> None:
        """Waits, unless that takes too long."""
        if time.monotonic() + seconds > self._until:
            raise errors.Temporary("the server was not done in time", hints=["Try again later, or be more patient."])
        time.sleep(seconds)

    def _until_answered(self, attempt: Callable[[], Any]) -> Any:
        pause = self._pause
        while True:
            try:
                return attempt()
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _LATER:
                        # What it says may name persons, and is not repeated.
                        hint = "The server's own log says why; are the address and the credential right?"
                        raise errors.Refused(f"the server refused: {error.code}", hints=[hint]) from None
                    last, asked = f"the server answered {error.code}", retry_after(error.headers)
            except (OSError, http.client.HTTPException, _Broken) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise errors.Refused(f"the server is not who it should be: {reason.verify_message}") from None
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, _LOST):
                    raise errors.Fault(str(error)) from error
                last, asked = f"no answer: {reason}", None
            try:
                self.wait(asked if asked is not None else pause)
            except errors.Temporary as late:
                raise errors.Temporary(late.message, [last], late.hints) from None
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _request(self, url: str, headers: Mapping[str, str], method: str, with_secret: bool, data: Optional[bytes]) -> Any:
        scheme, host, _ = _origin(url)
        if scheme != "https" and host not in _LOOPBACK:
            raise errors.Refused("the server names a file that is not fetched over TLS")
        sent: Dict[str, str] = dict(headers)
        if self._secret is not None and with_secret:
            if _origin(url) != self._origin:
                raise errors.Refused("the server names another one, which would be told the credential")
            sent["Authorization"] = self._secret
        request = urllib.request.Request(url, data=data, headers=sent, method=method)
        return self._opener.open(request, timeout=SILENCE)

    def _ask_once(self, url: str, headers: Mapping[str, str], method: str, data: Optional[bytes]) -> Answer:
        with self._request(url, headers, method, True, data) as response:
            body = response.read(_LONGEST_ANSWER + 1)
            if len(body) > _LONGEST_ANSWER:
                raise errors.Refused("the server's answer is too long")
            _check_length(response, len(body))
            return Answer(response.status, response.headers, body)

    def _fetch_once(
        self, url: str, headers: Mapping[str, str], file: Path, at_most: int, with_secret: bool, data: Optional[bytes]
    ) -> Fetched:
        count, lines, digest = 0, 0, hashlib.sha256()
        # What stands behind the last line feed, and the last line that is whole.
        rest, whole = b"", b""
        with self._request(url, headers, "POST" if data is not None else "GET", with_secret, data) as response:
            with open(file, "wb") as out:
                while block := response.read(_BLOCK):
                    count += len(block)
                    if count > at_most:
                        raise errors.Refused(f"there are more than the {at_most} bytes that are allowed")
                    if time.monotonic() > self._until:
                        raise errors.Temporary("the server was not done in time")
                    out.write(block)
                    digest.update(block)
                    lines += block.count(b"\n")
                    before, feed, after = (rest + block).rpartition(b"\n")
                    whole = before.rpartition(b"\n")[2] if feed else whole
                    rest = after[-_LONGEST_ANSWER:]
                _check_length(response, count)
                out.flush()
                os.fsync(out.fileno())
        return Fetched(count, lines + bool(rest), rest or whole, digest.hexdigest())


class _Broken(Exception):
    """Fewer bytes came than were announced."""


def _check_length(response: Any, count: int) -> None:
    announced = response.headers.get("Content-Length")
    if announced is not None and int(announced) != count:
        raise _Broken("it broke off")


def _origin(url: str) -> Tuple[str, str, Optional[int]]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.Refused("an address is neither http nor https")
    return parts.scheme, parts.hostname, parts.port


def retry_after(headers: Mapping[str, str]) -> Optional[float]:
    """How long a server wants to be left alone: at most five minutes."""
    said = headers.get("Retry-After")
    if said is None:
        return None
    if said.strip().isdigit():
        seconds = float(said)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def credential(name: str) -> str:
    """What the service manager hands over under this name, or what stands in the file of that path."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder is not None else Path(name)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(
            f"the credential {name} cannot be read: {error}", hints=[f"In the unit: LoadCredentialEncrypted={name}:FILE"]
        ) from error
    if not text or "\n" in text:
        raise errors.ConfigurationError(f"the credential {name} is not one line")
    return text
