"""Operators at the console: clients with rights, and the three steps of an operation."""

import re
from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

VIEW, OPERATE = "view_subscription", "operate_subscription"


def person(name: str, *permissions: str, is_staff: bool = True) -> Any:
    """A user with these permissions."""
    made = get_user_model().objects.create_user(name, is_staff=is_staff)
    made.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return made


def signed_in(user: Any) -> Client:
    """A client in whose session this user is signed in."""
    client = Client()
    client.force_login(user)
    return client


class Operator:
    """A user of the console's pages, with these permissions."""

    def __init__(self, name: str, *permissions: str, is_staff: bool = True, checks_csrf: bool = False) -> None:
        self.person = person(name, *permissions, is_staff=is_staff)
        self.client = Client(enforce_csrf_checks=checks_csrf)
        self.client.force_login(self.person)

    def get(self, path: str, **query: object) -> Any:
        return self.client.get(f"/console/{path}", query)

    def see(self, path: str, **query: object) -> str:
        """The page, as text."""
        response = self.get(path, **query)
        assert response.status_code == 200, (response.status_code, response.content.decode())
        return response.content.decode()

    def preview(self, path: str, **values: object) -> str:
        """The second step, as text."""
        response = self.client.post(f"/console/{path}", values | {"step": "preview"})
        return response.content.decode()

    def confirm(self, path: str, page: str) -> Any:
        """The third step, with what the preview's form carries."""
        return self.client.post(f"/console/{path}", confirmed_values(page))

    def do(self, path: str, **values: object) -> str:
        """All three steps. Returns the page that they lead to."""
        done = self.confirm(path, self.preview(path, **values))
        assert done.status_code == 302, done.content.decode()
        return self.client.get(done["Location"]).content.decode()

    def post(self, path: str, **values: object) -> Any:
        """A request to do it at once, without a preview."""
        return self.client.post(f"/console/{path}", values | {"key": uuid4()})


def confirmed_values(page: str) -> dict[str, str]:
    """The hidden fields of the form that has the key of an operation."""
    [form] = [form for form in re.findall(r"<form method=\"post\".*?</form>", page, re.DOTALL) if 'name="key"' in form]
    found = {}
    for field in re.findall(r"<input type=\"hidden\"[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', field), re.search(r'value="([^"]*)"', field)
        if name and value:
            found[name[1]] = value[1]
    return found
