"""The client of November 7, somebody else's catalogue of movies, which fails at random."""

from lockstep.providers.november7.client import Listing, November7, RemoteMovie

__all__ = ["Listing", "November7", "RemoteMovie"]
