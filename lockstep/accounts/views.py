"""People: registering, one's own account, and what everybody sees of everybody."""

from typing import Any, cast
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from lockstep.accounts import actions
from lockstep.accounts.doors import DoorView, session_of
from lockstep.accounts.models import User, UserQuerySet
from lockstep.accounts.serializers import (
    PasswordSerializer,
    ProfileSerializer,
    RegistrationSerializer,
    shown_person,
    shown_profile,
)
from lockstep.accounts.throttling import count_registration
from lockstep.api.concurrency import answer, if_match
from lockstep.api.errors import NotFound
from lockstep.api.paging import page
from lockstep.api.requests import actor_of, address_of
from lockstep.api.views import View


class RegistrationView(DoorView):
    """A route that makes accounts: so many an hour from one address."""

    def check_throttles(self, request: Request) -> None:
        """Counted before a password is hashed, which is the dear part."""
        super().check_throttles(request)
        if request.method == "POST":
            count_registration(address_of(request))


class RegisterView(RegistrationView):
    """`POST` {username and/or email, password, first_name, last_name} → 201 with the profile."""

    def post(self, request: Request) -> Response:
        given = RegistrationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = actions.register(**given.validated_data)
        return answer(request, shown_profile(user), user.version, status=201)


class MeView(View):
    """`GET` own profile; `PATCH` {username, email, first_name, last_name}; `DELETE` → 204, signed out everywhere."""

    def get(self, request: Request) -> Response:
        return answer(request, shown_profile(_me(request)), _me(request).version)

    def patch(self, request: Request) -> Response:
        given = ProfileSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        user = actions.update_profile(
            actor=actor_of(request), user=_me(request), match=if_match(request), **given.validated_data
        )
        return answer(request, shown_profile(user), user.version)

    def delete(self, request: Request) -> Response:
        actions.delete_account(actor=actor_of(request), user=_me(request), match=if_match(request))
        return Response(status=204)


class PasswordView(View):
    """`POST` or `PUT` {current_password, new_password} → 204; all other sessions are signed out."""

    def post(self, request: Request) -> Response:
        given = PasswordSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        actions.change_password(
            actor=actor_of(request),
            user=_me(request),
            session=session_of(request),
            current=given.validated_data["current_password"],
            new=given.validated_data["new_password"],
        )
        return Response(status=204)

    def put(self, request: Request) -> Response:
        return self.post(request)


class PersonView(View):
    """`GET` somebody's public profile, by id or number."""

    def get(self, request: Request, key: str) -> Response:
        person = _person(key, User.objects.alive().with_follow_counts())
        return answer(request, shown_person(person), person.version, person.followers, person.following)


class FollowView(View):
    """`POST` → 204: you follow them; `DELETE` → 204: no more. Both may be said again."""

    def post(self, request: Request, key: str) -> Response:
        actions.follow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return Response(status=204)

    def delete(self, request: Request, key: str) -> Response:
        actions.unfollow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return Response(status=204)


class FollowerListView(View):
    """`GET` who follows somebody, the newest accounts first."""

    def get(self, request: Request, key: str) -> Response:
        people = User.objects.alive().followers_of(_person(key))
        return page(request, people.with_follow_counts(), order="-id", shape=shown_person)


class FollowingListView(View):
    """`GET` whom somebody follows, the newest accounts first."""

    def get(self, request: Request, key: str) -> Response:
        people = User.objects.alive().followed_by(_person(key))
        return page(request, people.with_follow_counts(), order="-id", shape=shown_person)


def _me(request: Request) -> User:
    return cast(User, request.user)


def _person(key: str, rows: UserQuerySet | None = None) -> Any:  # noqa: ANN401 - a user, with what `rows` has beside
    """Somebody by id or number. Raises NotFound."""
    which = {"number": key} if key.isdigit() else {"pk": UUID(key)}
    person = (User.objects.alive() if rows is None else rows).filter(**which).first()
    if person is None:
        raise NotFound("There is no such user.")
    return person
