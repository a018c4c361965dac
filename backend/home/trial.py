"""The trial on the start page, in development: how far the latest posts have come, and the provider's faults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from backend.accounts.development import CREDENTIALS
from backend.entities.stand_ins import NoStandIn, StandIn, describe
from backend.posts.mirror import JSONPLACEHOLDER, POSTS
from backend.posts.models import MAX_BODY, MAX_TITLE, OUR_USER_ID, Post
from lockstep.mirror.models import RemoteObject
from lockstep.models import DeadLetter, Lane, LoggedChange, Subscription
from lockstep.rest.users import AnyUser

MAX_POSTS = 5
OPERATE = "lockstep.operate_subscription"
PROVIDER = "provider"  # the name of its stand-in
PROBE = "It is tried every 5 seconds."  # while the provider does not answer


class PostForm(forms.Form):
    """A new post."""

    title = forms.CharField(max_length=MAX_TITLE, widget=forms.TextInput)
    body = forms.CharField(max_length=MAX_BODY, widget=forms.Textarea(attrs={"rows": 2}))


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault of the provider that the page can switch on: its button, what it does, and the stand-in's words."""

    name: str
    button: str
    effect: str
    fault: Mapping[str, object]

    def is_active(self, active: Sequence[Mapping[str, object]]) -> bool:
        """Whether this fault alone is active."""
        return len(active) == 1 and all(active[0].get(name) == value for name, value in self.fault.items())


OUTAGES = (
    Outage("down", "Take it down", "It ends every connection without a response.", {"down": True}),
    Outage(
        "refusing",
        "Let it refuse writes",
        "It responds 422 to every write: no retry helps, so each change becomes a dead letter.",
        {"status": 422, "methods": ["POST", "PUT", "PATCH", "DELETE"]},
    ),
    Outage(
        "busy",
        "Overload it",
        "It responds 503 to every request, with Retry-After: 3.",
        {"status": 503, "retry_after": 3},
    ),
    Outage("slow", "Slow it down", "It takes 3 seconds for each response.", {"latency": 3}),
)


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider as the page shows it: `outage` is the active one, `problem` why it cannot be switched."""

    url: str
    problem: str = ""
    outage: Outage | None = None
    others: str = ""  # other faults, set elsewhere
    posts: Mapping[str, str] | None = None  # what it has, by its id of a post: JSON

    @property
    def is_well(self) -> bool:
        """Whether it has no faults."""
        return not self.problem and self.outage is None and not self.others


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one post has come: its latest change, the state of its delivery, and the provider's copy."""

    post: Post
    change: LoggedChange | None
    state: str  # logged, waiting, dead, arrived
    delivery: str  # a sentence
    copy: str  # JSON, "" for none

    @property
    def send_address(self) -> str:
        """The console's page that previews sending it again: its dead letter, or all changes since. "" for neither."""
        subscription = JSONPLACEHOLDER.subscription
        if self.state == "dead":
            letter = {"subscription": subscription, "model": POSTS.label, "object_id": str(self.post.pk)}
            return f"{reverse('lockstep_console:replay')}?{urlencode(letter)}"
        if self.state == "waiting" and self.change:
            since = f"{timezone.localtime(self.change.at):%Y-%m-%dT%H:%M:%S}"
            return f"{reverse('lockstep_console:rewind', args=[subscription])}?{urlencode({'since': since})}"
        return ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the page shows in development."""

    form: PostForm
    accounts: Sequence[str]
    may_operate: bool
    provider: Provider
    outages: Sequence[Outage]
    progress: Sequence[Progress]

    @classmethod
    def of(cls, user: AnyUser, form: PostForm | None) -> "Trial":
        """The trial for this user; `form` is one that has errors."""
        posts = list(Post.objects.alive().filter(user_id=OUR_USER_ID).order_by("-number")[:MAX_POSTS])
        copies = _by_object(RemoteObject.objects.filter(collection=JSONPLACEHOLDER.key(POSTS.name)), posts)
        provider = _provider([copy.remote_id for copy in copies.values() if copy.remote_id])
        initial = {"title": f"Hello at {timezone.localtime():%H:%M:%S}", "body": "In step."}
        return cls(
            form=form or PostForm(initial=initial),
            accounts=list(CREDENTIALS),
            may_operate=user.is_authenticated and user.is_staff and user.has_perm(OPERATE),
            provider=provider,
            outages=OUTAGES,
            progress=_progress(posts, copies, provider),
        )


def _provider(remote_ids: Sequence[str]) -> Provider:
    """The provider's faults, and what it has under these ids: a remote call, which only development makes."""
    stand_in = StandIn.named(PROVIDER)
    try:
        active = stand_in.faults()
        found = {remote_id: stand_in.data(f"/{POSTS.name}/{remote_id}") for remote_id in remote_ids}
    except NoStandIn as error:
        return Provider(stand_in.url, problem=str(error))
    outage = next((one for one in OUTAGES if one.is_active(active)), None)
    posts = {remote_id: orjson.dumps(copy).decode() for remote_id, copy in found.items() if copy is not None}
    others = "" if outage else "; ".join(map(describe, active))
    return Provider(stand_in.url, outage=outage, others=others, posts=posts)


def _progress(posts: Sequence[Post], copies: Mapping[str, RemoteObject], provider: Provider) -> list[Progress]:
    """How far each of these posts has come, by what is stored of its latest change."""
    of_posts = {"model": POSTS.label}
    delivered = {**of_posts, "subscription": JSONPLACEHOLDER.subscription}
    changes = _by_object(LoggedChange.objects.filter(**of_posts).order_by("seq"), posts)
    lanes = _by_object(Lane.objects.filter(**delivered), posts)
    letters = _by_object(DeadLetter.objects.filter(**delivered, outcome=None).order_by("died"), posts)
    subscription = Subscription.objects.filter(name=JSONPLACEHOLDER.subscription).first()
    held = _held(subscription)
    progress = []
    for post in posts:
        key = str(post.pk)
        copy = copies.get(key)
        state, sentence = _delivery(lanes.get(key), letters.get(key), copy, held)
        shown = (provider.posts or {}).get(copy.remote_id or "", "") if copy else ""
        progress.append(Progress(post, changes.get(key), state, sentence, shown))
    return progress


def _held(subscription: Subscription | None) -> str:
    """The state that keeps a subscription from delivering, with its reason; "" where none does."""
    if subscription is None or subscription.state == "active":
        return ""
    return f"{subscription.state} ({subscription.reason})" if subscription.reason else subscription.state


def _delivery(lane: Lane | None, letter: DeadLetter | None, copy: RemoteObject | None, held: str) -> tuple[str, str]:
    """The state of a delivery, and a sentence about it."""
    if letter:
        return "dead", f"A dead letter since {_clock(letter.died)}: {letter.cause}"
    if held and (lane or not copy):  # without a lane: fan-out has stopped as well
        return "held", f"It waits: the subscription is {held}."
    if lane and lane.failure == "unreachable":
        return "waiting", f"It waits: {lane.cause} {PROBE}"
    if lane and lane.failure:
        seconds = max(round((lane.next_at - timezone.now()).total_seconds()), 0)
        return "waiting", f"It waits: {lane.cause} Attempt {lane.attempts + 1} follows in {seconds} s."
    if lane:
        return "logged", "It is being delivered."
    if copy and copy.verified_at:
        return "arrived", f"Delivered as post {copy.remote_id}, and seen there at {_clock(copy.verified_at)}."
    if copy and copy.acknowledged_at:
        return (
            "arrived",
            f"Acknowledged as post {copy.remote_id} at {_clock(copy.acknowledged_at)}, and not seen there.",
        )
    return "logged", "It is about to be delivered."


def _by_object(rows: QuerySet[Any], posts: Sequence[Post]) -> dict[str, Any]:
    """The last of these rows for each post, by the post's key."""
    return {str(row.object_id): row for row in rows.filter(object_id__in=[str(post.pk) for post in posts])}


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S}"
