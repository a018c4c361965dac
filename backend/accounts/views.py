"""Accounts: registration, the own account, and public profiles."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.accounts import actions
from backend.accounts.models import User, UserQuerySet
from backend.accounts.serializers import (
    DeletionSerializer,
    PasswordSerializer,
    PersonSerializer,
    ProfileSerializer,
    RegistrationSerializer,
)
from backend.accounts.sign_in_views import CredentialsView, PasswordView, session_of
from backend.accounts.throttling import count_names, count_registration
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match
from lockstep.rest.errors import Invalid, NotFound
from lockstep.rest.paging import page
from lockstep.rest.requests import ApiRequest, address_of, by_key
from lockstep.rest.responses import ApiResponse, etag
from lockstep.rest.schema import CHANGES_VERSION, CREATES_VERSION, CURSOR_PAGE, DELETES_VERSION, READS_VERSION
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View


class RegistrationView(CredentialsView):
    """A view that registers accounts, limited by address."""

    def check_throttles(self, request: Request) -> None:
        """Counts the registration before the password is hashed, which is expensive."""
        super().check_throttles(request)
        if request.method == "POST":
            count_registration(address_of(request))


class RegisterView(RegistrationView):
    """Registers an account.

    The username is public. Without one a random username is generated, which can be changed; the e-mail address signs
    in as well.
    """

    @extend_schema(
        operation_id="register_user",
        parameters=CREATES_VERSION,
        request=RegistrationSerializer,
        responses={201: ProfileSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        user = actions.register(**validated(RegistrationSerializer, request.data))
        return ApiResponse(ProfileSerializer.represent(user), status=201, headers={"ETag": etag(user.version)})


class MeView(PasswordView):
    """The own account."""

    password_methods = bodies = ("DELETE",)

    def attempted_name(self, request: Request) -> str:
        """The own username, if the body has a password."""
        return _me(request).username if DeletionSerializer(data=request.data).is_valid() else ""

    def check_throttles(self, request: Request) -> None:
        """Counts new names and addresses, too, because the response reveals which are in use."""
        super().check_throttles(request)
        if request.method == "PATCH" and _changes_name(request):
            count_names(_me(request).pk, address_of(request))

    @extend_schema(operation_id="get_me", parameters=READS_VERSION, responses=ProfileSerializer)
    def get(self, request: Request) -> ApiResponse:
        """Returns your profile."""
        return answer(request, ProfileSerializer.represent(_me(request)), _me(request).version)

    @extend_schema(
        operation_id="update_me", parameters=CHANGES_VERSION, request=ProfileSerializer, responses=ProfileSerializer
    )
    def patch(self, request: Request) -> ApiResponse:
        """Updates your profile."""
        current = ProfileSerializer.represent(_me(request))
        values = validated(ProfileSerializer, request.data, partial=True, current=current)
        user = actions.update_profile(actor=actor_of(request), user=_me(request), match=if_match(request), **values)
        return answer(request, ProfileSerializer.represent(user), user.version)

    @extend_schema(
        operation_id="delete_me", parameters=DELETES_VERSION, request=DeletionSerializer, responses={204: None}
    )
    def delete(self, request: Request) -> ApiResponse:
        """Deletes your account with its sessions, products, ratings, follows and webhooks."""
        if not _me(request).check_password(validated(DeletionSerializer, request.data)["password"]):
            raise Invalid({"password": actions.MISMATCH})
        self.password_was_right()
        match = if_match(request)
        actions.delete_account(actor=actor_of(request), user=_me(request), match=match, verified=True)
        return ApiResponse(status=204)


class MyPasswordView(PasswordView):
    """The own password. Attempts are limited, so that a stolen token does not help to guess it."""

    password_methods = ("POST", "PUT")

    def attempted_name(self, request: Request) -> str:
        """The own username, if the body has a password."""
        return str(_me(request).username) if PasswordSerializer(data=request.data).is_valid() else ""

    @extend_schema(operation_id="change_password", request=PasswordSerializer, responses={204: None})
    def post(self, request: Request) -> ApiResponse:
        """Changes your password, and ends all your other sessions."""
        values = validated(PasswordSerializer, request.data)
        if not _me(request).check_password(values["current_password"]):
            raise Invalid({"current_password": actions.MISMATCH})
        self.password_was_right()
        actions.change_password(
            actor=actor_of(request),
            user=_me(request),
            session=session_of(request),
            new=values["new_password"],
            keep_webhooks=values.get("keep_webhooks", False),
        )
        return ApiResponse(status=204)

    @extend_schema(operation_id="replace_password", request=PasswordSerializer, responses={204: None})
    def put(self, request: Request) -> ApiResponse:
        """Changes your password, and ends all your other sessions."""
        return self.post(request)


class PersonView(View):
    """Returns the public profile of a user."""

    @extend_schema(operation_id="get_user", parameters=READS_VERSION, responses=PersonSerializer)
    def get(self, request: Request, key: str) -> ApiResponse:
        person = _person(key, User.objects.alive().with_follow_counts())
        return answer(request, PersonSerializer.represent(person), person.version, person.followers, person.following)


class FollowView(View):
    """Following a user. Both methods are idempotent."""

    @extend_schema(operation_id="follow_user", request=None, responses={204: None})
    def post(self, request: Request, key: str) -> ApiResponse:
        """Follows a user."""
        actions.follow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return ApiResponse(status=204)

    @extend_schema(operation_id="unfollow_user", responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Unfollows a user."""
        actions.unfollow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return ApiResponse(status=204)


class FollowerListView(View):
    """Lists the followers of a user, newest accounts first."""

    @extend_schema(operation_id="list_followers", parameters=CURSOR_PAGE, responses=page_of(PersonSerializer))
    def get(self, request: ApiRequest, key: str) -> ApiResponse:
        people = User.objects.alive().followers_of(_person(key))
        return page(request, people.with_follow_counts(), shape=PersonSerializer.represent)


class FollowingListView(View):
    """Lists the users whom a user follows, newest accounts first."""

    @extend_schema(operation_id="list_following", parameters=CURSOR_PAGE, responses=page_of(PersonSerializer))
    def get(self, request: ApiRequest, key: str) -> ApiResponse:
        people = User.objects.alive().followed_by(_person(key))
        return page(request, people.with_follow_counts(), shape=PersonSerializer.represent)


def _changes_name(request: Request) -> bool:
    """Whether the body has another username or address than the user."""
    serializer = ProfileSerializer(data=request.data, partial=True)
    if not serializer.is_valid():
        return False
    me = _me(request)
    return any(
        serializer.validated_data.get(name, own) != own
        for name, own in (("username", me.username), ("email", me.email))
    )


def _me(request: Request) -> User:
    return cast(User, request.user)


def _person(key: str, rows: UserQuerySet | None = None) -> Any:  # noqa: ANN401 - a user, with the annotations of `rows`
    """The user with this id or number. Raises NotFound."""
    person = (User.objects.alive() if rows is None else rows).filter(**by_key(key)).first()
    if person is None:
        raise NotFound("There is no such user.")
    return person
