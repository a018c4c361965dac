"""The types of problems, which the `type` of each error names: include them at the root, `path("", include(…))`."""

from django.urls import re_path

from lockstep.rest.problem_views import ProblemListView, ProblemView

urlpatterns = [
    re_path(r"^problems/?$", ProblemListView.as_view()),
    re_path(r"^problems/(?P<name>[a-z-]+)/?$", ProblemView.as_view()),
]
