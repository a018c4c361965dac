"""People: registering, one's own account, and what everybody sees of everybody."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from lockstep.accounts import actions
from lockstep.accounts.doors import DoorView, PasswordView, session_of
from lockstep.accounts.models import User, UserQuerySet
from lockstep.accounts.serializers import (
    DeletionSerializer,
    PasswordSerializer,
    PersonSerializer,
    ProfileSerializer,
    RegistrationSerializer,
    shown_person,
    shown_profile,
)
from lockstep.accounts.throttling import count_names, count_registration
from lockstep.api.answers import Answer
from lockstep.api.concurrency import answer, if_match
from lockstep.api.errors import Invalid, NotFound
from lockstep.api.paging import page
from lockstep.api.requests import Asking, actor_of, address_of, by_key
from lockstep.api.schema import CHANGES_VERSION, CREATES_VERSION, CURSOR_PAGE, DELETES_VERSION, READS_VERSION
from lockstep.api.serializers import page_of
from lockstep.api.views import View


class RegistrationView(DoorView):
    """A route that makes accounts: so many an hour from one address."""

    def check_throttles(self, request: Request) -> None:
        """Counted before a password is hashed, which is the dear part."""
        super().check_throttles(request)
        if request.method == "POST":
            count_registration(address_of(request))


class RegisterView(RegistrationView):
    """Registers an account.

    Others see the username. Without one it is made up, and can be changed; the e-mail address signs in as well.
    """

    @extend_schema(
        operation_id="register_user",
        parameters=CREATES_VERSION,
        request=RegistrationSerializer,
        responses={201: ProfileSerializer},
    )
    def post(self, request: Request) -> Answer:
        given = RegistrationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = actions.register(**given.validated_data)
        return answer(request, shown_profile(user), user.version, status=201)


class MeView(PasswordView):
    """One's own account."""

    password_methods = bodies = ("DELETE",)

    def tried(self, request: Request) -> str:
        """One's own name, where the body has a password."""
        return _me(request).username if DeletionSerializer(data=request.data).is_valid() else ""

    def check_throttles(self, request: Request) -> None:
        """Counts names and addresses that are tried, too: the answer tells which are taken."""
        super().check_throttles(request)
        if request.method == "PATCH" and _changes_name(request):
            count_names(_me(request).pk, address_of(request))

    @extend_schema(operation_id="get_me", parameters=READS_VERSION, responses=ProfileSerializer)
    def get(self, request: Request) -> Answer:
        """Returns your profile."""
        return answer(request, shown_profile(_me(request)), _me(request).version)

    @extend_schema(
        operation_id="update_me", parameters=CHANGES_VERSION, request=ProfileSerializer, responses=ProfileSerializer
    )
    def patch(self, request: Request) -> Answer:
        """Updates your profile."""
        given = ProfileSerializer(data=request.data, partial=True, shown=shown_profile(_me(request)))
        given.is_valid(raise_exception=True)
        user = actions.update_profile(
            actor=actor_of(request), user=_me(request), match=if_match(request), **given.validated_data
        )
        return answer(request, shown_profile(user), user.version)

    @extend_schema(
        operation_id="delete_me", parameters=DELETES_VERSION, request=DeletionSerializer, responses={204: None}
    )
    def delete(self, request: Request) -> Answer:
        """Deletes your account with its sessions, products, ratings, follows and webhooks."""
        given = DeletionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if not _me(request).check_password(given.validated_data["password"]):
            raise Invalid({"password": actions.MISMATCH})
        self.password_was_right()
        match = if_match(request)
        actions.delete_account(actor=actor_of(request), user=_me(request), match=match, verified=True)
        return Answer(status=204)


class MyPasswordView(PasswordView):
    """One's own password, by either method. Who has found a token shall not guess the password with it."""

    password_methods = ("POST", "PUT")

    def tried(self, request: Request) -> str:
        """One's own name, where the body has a password."""
        return str(_me(request).username) if PasswordSerializer(data=request.data).is_valid() else ""

    @extend_schema(operation_id="change_password", request=PasswordSerializer, responses={204: None})
    def post(self, request: Request) -> Answer:
        """Changes your password, and ends all your other sessions."""
        given = PasswordSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if not _me(request).check_password(given.validated_data["current_password"]):
            raise Invalid({"current_password": actions.MISMATCH})
        self.password_was_right()
        actions.change_password(
            actor=actor_of(request),
            user=_me(request),
            session=session_of(request),
            new=given.validated_data["new_password"],
            keep_webhooks=given.validated_data.get("keep_webhooks", False),
        )
        return Answer(status=204)

    @extend_schema(operation_id="replace_password", request=PasswordSerializer, responses={204: None})
    def put(self, request: Request) -> Answer:
        """Changes your password, and ends all your other sessions."""
        return self.post(request)


class PersonView(View):
    """Returns the public profile of a user."""

    @extend_schema(operation_id="get_user", parameters=READS_VERSION, responses=PersonSerializer)
    def get(self, request: Request, key: str) -> Answer:
        person = _person(key, User.objects.alive().with_follow_counts())
        return answer(request, shown_person(person), person.version, person.followers, person.following)


class FollowView(View):
    """Following a user. Both methods are idempotent."""

    @extend_schema(operation_id="follow_user", request=None, responses={204: None})
    def post(self, request: Request, key: str) -> Answer:
        """Follows a user."""
        actions.follow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return Answer(status=204)

    @extend_schema(operation_id="unfollow_user", responses={204: None})
    def delete(self, request: Request, key: str) -> Answer:
        """Unfollows a user."""
        actions.unfollow(actor=actor_of(request), follower=_me(request), followed=_person(key))
        return Answer(status=204)


class FollowerListView(View):
    """Lists the followers of a user, newest accounts first."""

    @extend_schema(operation_id="list_followers", parameters=CURSOR_PAGE, responses=page_of(PersonSerializer))
    def get(self, request: Asking, key: str) -> Answer:
        people = User.objects.alive().followers_of(_person(key))
        return page(request, people.with_follow_counts(), shape=shown_person)


class FollowingListView(View):
    """Lists the users whom a user follows, newest accounts first."""

    @extend_schema(operation_id="list_following", parameters=CURSOR_PAGE, responses=page_of(PersonSerializer))
    def get(self, request: Asking, key: str) -> Answer:
        people = User.objects.alive().followed_by(_person(key))
        return page(request, people.with_follow_counts(), shape=shown_person)


def _changes_name(request: Request) -> bool:
    """Whether the body asks for another username or address than the user has."""
    given = ProfileSerializer(data=request.data, partial=True)
    if not given.is_valid():
        return False
    me = _me(request)
    return any(
        given.validated_data.get(name, own) != own for name, own in (("username", me.username), ("email", me.email))
    )


def _me(request: Request) -> User:
    return cast(User, request.user)


def _person(key: str, rows: UserQuerySet | None = None) -> Any:  # noqa: ANN401 - a user, with what `rows` has beside
    """Somebody by id or number. Raises NotFound."""
    person = (User.objects.alive() if rows is None else rows).filter(**by_key(key)).first()
    if person is None:
        raise NotFound("There is no such user.")
    return person
