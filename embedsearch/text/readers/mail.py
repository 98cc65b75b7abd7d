"""A message of electronic mail, as mail programs save it (.eml)."""

from __future__ import annotations

from contextlib import suppress
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from embedsearch.errors import ReadError
from embedsearch.text.decode import decode
from embedsearch.text.readers.content import Content
from embedsearch.text.readers.html import read_html

_ADDRESSES = ("from", "to", "cc")


def read_mail(data: bytes, max_bytes: int) -> Content:
    """The body, as plain text where the message has that, else its HTML as Markdown. The subject is
    the title; sender, receivers, date (ISO 8601) and the names of attachments are metadata."""
    try:
        message: Any = BytesParser(EmailMessage, policy=default).parsebytes(data)
        subject = _header(message, "subject")
        metadata = _metadata(message)
        body = message.get_body(("plain", "html"))
        payload = b"" if body is None else body.get_payload(decode=True) or b""
        kind = "" if body is None else body.get_content_type()
        charset = "" if body is None else str(body.get_content_charset() or "")
    except RecursionError:
        raise ReadError("message nested too deeply") from None
    except Exception as error:  # the parser of the standard library trips in many ways
        raise ReadError(f"damaged message: {' '.join(str(error).split())[:200]}") from None
    if not metadata and not subject:
        raise ReadError("not a message of electronic mail")
    recoded = _as_utf8(payload, charset)
    if kind == "text/html":
        page = read_html(recoded, max_bytes)
        text, form, remark = page.text, page.format, page.remark
    else:
        text, remark = decode(recoded)
        text, form = text.replace("\r\n", "\n"), "text"
    return Content(text=text, format=form, title=subject, metadata=metadata, remark=remark)


def _metadata(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {name: text for name in _ADDRESSES if (text := _header(message, name))}
    if date := _header(message, "date"):
        moment = getattr(message["date"], "datetime", None)  # None where it is no date
        found["date"] = date if moment is None else moment.isoformat()
    attached = [name for part in message.walk() if (name := part.get_filename())]
    return found | ({"attachments": attached} if attached else {})


def _header(message: Any, name: str) -> str:
    with suppress(Exception):  # one that the parser trips over is none
        return str(message[name] or "")
    return ""


def _as_utf8(payload: bytes, charset: str) -> bytes:
    """In UTF-8 where the message tells truly what else it is in; else as it stands."""
    if charset.lower() not in ("", "utf-8", "us-ascii", "unicode-1-1-utf-8"):
        with suppress(LookupError, ValueError):
            return payload.decode(charset).encode()
    return payload
