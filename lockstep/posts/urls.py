from django.urls import re_path

from lockstep.posts import views

POST = r"posts/(?P<number>[0-9]+)"
COMMENTS = r"posts/(?P<post_number>[0-9]+)/comments"

urlpatterns = [
    re_path(r"^posts/?$", views.PostListView.as_view()),
    re_path(r"^posts/create/?$", views.PostCreateView.as_view()),
    re_path(r"^posts/update/(?P<number>[0-9]+)/?$", views.PostUpdateView.as_view()),
    re_path(r"^posts/delete/(?P<number>[0-9]+)/?$", views.PostDeleteView.as_view()),
    re_path(rf"^{POST}/?$", views.PostReadView.as_view()),
    re_path(rf"^{COMMENTS}/?$", views.CommentListView.as_view()),
    re_path(rf"^{COMMENTS}/create/?$", views.CommentCreateView.as_view()),
    re_path(rf"^{COMMENTS}/update/(?P<number>[0-9]+)/?$", views.CommentUpdateView.as_view()),
    re_path(rf"^{COMMENTS}/delete/(?P<number>[0-9]+)/?$", views.CommentDeleteView.as_view()),
    re_path(rf"^{COMMENTS}/(?P<number>[0-9]+)/?$", views.CommentReadView.as_view()),
]
