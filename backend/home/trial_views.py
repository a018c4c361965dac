"""What the forms of the trial do (trial.py). Outside development none of these routes exists."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views import View

from backend.accounts.development import CREDENTIALS
from backend.entities.stand_ins import NoStandIn, StandIn
from backend.home.trial import OPERATE, OUTAGES, PROVIDER, PostForm
from backend.home.views import home_page
from backend.posts.actions import create_post
from backend.posts.mirror import JSONPLACEHOLDER, POSTS
from backend.posts.models import Post
from lockstep import attributed
from lockstep.changes.commands import counted
from lockstep.delivery.operations import replay_letters, replay_span
from lockstep.delivery.reports import ChangeFilter
from lockstep.rest.problem_views import not_found
from lockstep.rest.requests import number_of

SIGN_IN_FIRST = "Sign in first: it takes one click."


class TrialView(View):
    """A form of the trial; it leads back to the page."""

    http_method_names = ["post"]
    needs_account = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - the base's
        if not settings.DEBUG:
            return not_found(request)
        if self.needs_account and request.method == "POST" and not request.user.is_authenticated:
            messages.error(request, SIGN_IN_FIRST)
            return back()
        return super().dispatch(request, *args, **kwargs)


class SignInView(TrialView):
    """Signs in as one of the accounts of development, whose passwords are published."""

    needs_account = False

    def post(self, request: HttpRequest) -> HttpResponse:
        name = request.POST.get("account", "")
        user = authenticate(request, username=name, password=CREDENTIALS.get(name, ""))
        if user is None:
            messages.error(
                request, "This account has another password: manage.py setup_development_accounts resets it."
            )
        else:
            login(request, user)
        return back()


class SignOutView(TrialView):
    """Signs out."""

    needs_account = False

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return back()


class WritePostView(TrialView):
    """Writes a post, as the API does."""

    def post(self, request: HttpRequest) -> HttpResponse:
        form = PostForm(request.POST)
        if not form.is_valid():
            return home_page(request, form)
        post = create_post(actor=_actor(request), **form.cleaned_data)
        messages.success(request, f"Post {post.number} is written. Step 4 shows what becomes of it.")
        return back()


class FaultView(TrialView):
    """Breaks the provider, a stand-in, or mends it."""

    def post(self, request: HttpRequest) -> HttpResponse:
        outage = next((one for one in OUTAGES if one.name == request.POST.get("outage")), None)
        stand_in = StandIn.named(PROVIDER)
        try:
            if outage:
                stand_in.set_fault(outage.fault)
            else:
                stand_in.mend()
        except NoStandIn as error:
            messages.error(request, str(error))
            return back()
        if outage:
            messages.warning(request, f"The provider is broken: {outage.effect} Write a post, and watch it in step 4.")
        else:
            messages.success(request, "The provider works again.")
        return back()


class SendAgainView(TrialView):
    """Sends a post again: its dead letter, or else its changes, which then wait no longer. For operators."""

    def post(self, request: HttpRequest) -> HttpResponse:
        number = number_of(request.POST.get("post", "")[:18])
        post = Post.objects.alive().filter(number=number).first() if number is not None else None
        if post is None or not request.user.has_perm(OPERATE):
            messages.error(request, "Only operators send posts again: sign in as admin.")
            return back()
        chosen = ChangeFilter(JSONPLACEHOLDER.subscription, model=POSTS.label, object_id=str(post.pk))
        with attributed(actor=_actor(request)):
            result = replay_letters(chosen)
            if not result.changes:
                result = replay_span(chosen)
        messages.success(request, f"Post {post.number} is being sent again: {counted(result.changes, 'change')}.")
        return back()


def back() -> HttpResponseRedirect:
    """To the trial on the page."""
    return HttpResponseRedirect(f"{reverse('home:home')}#trial")


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"
