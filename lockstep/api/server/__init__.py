"""What stands between the web server's event loop and Django, which is synchronous.

A request takes a thread once it is there whole (application.py). A body that does not arrive in time is refused
(bodies.py). So many requests are worked on at once; one that waits for a remote system is not among them (slots.py).
"""
