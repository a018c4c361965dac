"""The bridge between the web server's event loop and Django, which is synchronous.

A request takes a thread once it was received completely (application.py). A body that does not arrive in time is
refused (bodies.py). The number of concurrent requests is limited; those that wait for a remote system do not count
(slots.py).
"""
