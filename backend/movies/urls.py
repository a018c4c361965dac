from django.urls import re_path

from backend.movies import views
from lockstep.rest.routes import ID

KEY = rf"(?P<key>{ID})"

urlpatterns = [
    re_path(r"^movies/?$", views.MovieListView.as_view()),
    re_path(r"^movies/ratings/?$", views.RatingListView.as_view()),
    re_path(rf"^movies/ratings/{KEY}/?$", views.RatingView.as_view()),
    re_path(rf"^movies/{KEY}/?$", views.MovieView.as_view()),
]
