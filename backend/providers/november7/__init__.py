"""The client of November 7, an external catalogue of movies, which fails at random."""

from backend.providers.november7.client import Listing, November7, RemoteMovie

__all__ = ["Listing", "November7", "RemoteMovie"]
