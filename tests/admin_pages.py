"""The admin as a browser has it: what a page's form holds, and what is sent back of it."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client

from backend.accounts.models import User


def admin_of(user: User) -> Client:
    """A browser in which this user is signed in to the admin."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def opened(client: Client, page: str) -> dict[str, Any]:
    """What the form of this page sends back when nothing in it is touched."""
    answer = client.get(page)
    assert answer.status_code == 200, f"{page}: {answer.status_code}"
    return sent_by(answer)


def sent_by(answer: Any) -> dict[str, Any]:
    """The same of a page that came as an answer."""
    form = _Form()
    form.feed(answer.content.decode())
    return form.values


def errors_of(answer: Any) -> dict[str, str]:
    """The errors that a page with a form shows, by field; "__all__" for those of the whole form."""
    assert answer.status_code == 200, answer.status_code
    errors = answer.context["adminform"].form.errors
    return {name: " ".join(str(one) for one in sentences) for name, sentences in errors.items()}


class _Form(HTMLParser):
    """Reads the form whose id is <model>_form."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._inside = False
        self._text: str | None = None  # the name of the textarea that is being read
        self._select: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        name = found.get("name") or ""
        if tag == "form":
            self._inside = (found.get("id") or "").endswith("_form")
        elif not self._inside:
            return
        elif tag == "input" and name:
            self._input(name, found)
        elif tag == "textarea":
            self._text, self.values[name] = name, ""
        elif tag == "select":
            self._select = name
            if "multiple" in found:
                self.values[name] = []
        elif tag == "option" and self._select and "selected" in found:
            self._option(found.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text:
            text = self.values[self._text].removeprefix("\n")
            self.values[self._text], self._text = text.replace("\r\n", "\n").replace("\n", "\r\n"), None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._text:
            self.values[self._text] += data

    def _input(self, name: str, found: dict[str, str | None]) -> None:
        kind = found.get("type")
        if kind == "submit" or (kind in ("checkbox", "radio") and "checked" not in found):
            return
        self.values[name] = found.get("value") or ("on" if kind == "checkbox" else "")

    def _option(self, value: str) -> None:
        assert self._select
        if isinstance(self.values.get(self._select), list):
            self.values[self._select].append(value)
        else:
            self.values[self._select] = value
