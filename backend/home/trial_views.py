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
from backend.home.trial import OUTAGES, PROVIDER, PostForm
from backend.home.views import home_page
from backend.posts.actions import create_post
from lockstep.rest.problem_views import not_found

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


class TrialSignInView(TrialView):
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
        post = create_post(actor=f"user:{request.user.pk}", **form.cleaned_data)
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


def back() -> HttpResponseRedirect:
    """To the trial on the page."""
    return HttpResponseRedirect(f"{reverse('home:home')}#trial")
