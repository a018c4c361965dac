"""Views of movies and ratings, below `api/v1/movies/`."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from backend.movies import actions, catalogue, reads
from backend.movies.catalogue import Freshness
from backend.movies.metrics import ANSWERS
from backend.movies.models import Movie, Rating
from backend.movies.serializers import (
    MoviePageSerializer,
    MovieSerializer,
    NewRatingSerializer,
    RatingSerializer,
)
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match
from lockstep.rest.errors import NotFound, Unavailable
from lockstep.rest.filters import Filters
from lockstep.rest.paging import BY_TIME, numbered_page, ordering_of, page
from lockstep.rest.parameters import choice, text
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import (
    CHANGES_VERSION,
    CREATES_VERSION,
    CURSOR_PAGE,
    DELETES_VERSION,
    NUMBERED_PAGE,
    READS_VERSION,
    ordering,
)
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View

AGE = OpenApiParameter(
    "Age",
    int,
    OpenApiParameter.HEADER,
    description="The age of the catalogue in seconds.",
    response=[200],
    required=True,
)
SEARCH = [
    text(
        "query",
        "Only movies with all these words in title or description; all when empty.",
        may_be_empty=True,
    ),
    choice("group", "One movie of each title, with the ids of the others.", ["title"]),
    ordering(reads.ORDERINGS),
    *NUMBERED_PAGE,
    AGE,
]
RATING_FILTERS = Filters((choice("rating_type", "Only ratings of this type.", Rating.Type.values), "rating_type"))


class MovieListView(View):
    """The movies of the provider."""

    @extend_schema(operation_id="list_movies", parameters=SEARCH, responses={200: MoviePageSerializer, 503: None})
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists movies, with the ratings of all users and your own.

        While the provider is down the response is `stale`, and as old as `Age` says. Before the first import it is 503.
        """
        freshness = _freshness()
        found = _search(request)
        if not found["count"] and catalogue.refresh_on_miss():
            freshness, found = _freshness(), _search(request)
        return ApiResponse(found | {"stale": freshness.is_stale}, headers={"Age": str(freshness.age)})


class MovieView(View):
    """A movie."""

    @extend_schema(operation_id="get_movie", parameters=[AGE], responses={200: MovieSerializer, 503: None})
    def get(self, request: Request, key: str) -> ApiResponse:
        """Returns a movie, by our id or the provider's."""
        freshness = _freshness()
        try:
            movie = reads.movie(key, request.user)
        except NotFound:
            if not catalogue.refresh_on_miss():
                raise
            freshness, movie = _freshness(), reads.movie(key, request.user)
        return ApiResponse(MovieSerializer.represent(movie), headers={"Age": str(freshness.age)})


class RatingListView(View):
    """The user's ratings."""

    @extend_schema(
        operation_id="list_ratings",
        parameters=[*RATING_FILTERS.parameters, ordering(BY_TIME), *CURSOR_PAGE],
        responses=page_of(RatingSerializer),
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists your ratings, newest first."""
        rows = RATING_FILTERS.apply(request, Rating.objects.alive().of(request.user))
        return page(request, rows, order=ordering_of(request, BY_TIME), shape=RatingSerializer.represent)

    @extend_schema(
        operation_id="create_rating",
        parameters=CREATES_VERSION,
        request=NewRatingSerializer,
        responses={201: RatingSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        """Rates a movie. A user has one rating of each movie."""
        values = validated(NewRatingSerializer, request.data)
        created = actions.create_rating(actor=actor_of(request), user=request.user, **values)
        return _rating(request, created.pk, status=201)


class RatingView(View):
    """Returns a rating of yours."""

    @extend_schema(operation_id="get_rating", parameters=READS_VERSION, responses=RatingSerializer)
    def get(self, request: Request, key: str) -> ApiResponse:
        return _rating(request, key)

    @extend_schema(
        operation_id="replace_rating",
        parameters=CHANGES_VERSION,
        request=RatingSerializer,
        responses=RatingSerializer,
    )
    def put(self, request: Request, key: str) -> ApiResponse:
        """Replaces a rating of yours."""
        return self._change(request, key, partial=False)

    @extend_schema(
        operation_id="update_rating", parameters=CHANGES_VERSION, request=RatingSerializer, responses=RatingSerializer
    )
    def patch(self, request: Request, key: str) -> ApiResponse:
        """Partially updates a rating of yours."""
        return self._change(request, key, partial=True)

    @extend_schema(operation_id="delete_rating", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Deletes a rating of yours."""
        actions.delete_rating(actor=actor_of(request), user=request.user, key=key, match=if_match(request))
        return ApiResponse(status=204)

    def _change(self, request: Request, key: str, *, partial: bool) -> ApiResponse:
        current = RatingSerializer.represent(reads.rating(key, request.user))
        values = validated(RatingSerializer, request.data, partial=partial, current=current)
        actions.update_rating(actor=actor_of(request), user=request.user, key=key, match=if_match(request), **values)
        return _rating(request, key)


def _freshness() -> Freshness:
    try:
        freshness = catalogue.freshness()
    except Unavailable:
        ANSWERS.labels("none").inc()
        raise
    ANSWERS.labels("stale" if freshness.is_stale else "fresh").inc()
    return freshness


def _search(request: ApiRequest) -> dict[str, object]:
    rows = reads.movies(request.user, request.parameters.get("query", ""))
    is_grouped = "group" in request.parameters
    if is_grouped:
        rows = reads.one_of_each_title(rows)
    rows = rows.order_by(*reads.ORDERINGS[request.parameters["ordering"]])
    return numbered_page(request, rows, shape=_represent_group if is_grouped else MovieSerializer.represent)


def _represent_group(movie: Movie) -> dict[str, object]:
    """The representation of a movie of reads.one_of_each_title."""
    others = [key for key in vars(movie)["of_this_title"] if key != movie.pk]
    return {**MovieSerializer.represent(movie), "same_title": sorted(others)}


def _rating(request: Request, key: UUID | str, status: int = 200) -> ApiResponse:
    rating = reads.rating(key, request.user)
    return answer(request, RatingSerializer.represent(rating), rating.version, status=status)
