"""Contains all the data models used in inputs/outputs"""

from .http_validation_error import HTTPValidationError
from .movie import Movie
from .movie_page import MoviePage
from .validation_error import ValidationError

__all__ = (
    "HTTPValidationError",
    "Movie",
    "MoviePage",
    "ValidationError",
)
