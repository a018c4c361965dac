from django.urls import re_path

from backend.posts import views

NUMBER = r"(?P<number>[0-9]{1,18})"  # no number has more digits
POST_NUMBER = r"(?P<post_number>[0-9]{1,18})"
COMMENTS = rf"posts/{POST_NUMBER}/comments"

urlpatterns = [
    re_path(r"^posts/?$", views.PostListView.as_view()),
    re_path(r"^posts/create/?$", views.PostCreateView.as_view()),
    re_path(rf"^posts/update/{NUMBER}/?$", views.PostUpdateView.as_view()),
    re_path(rf"^posts/delete/{NUMBER}/?$", views.PostDeleteView.as_view()),
    re_path(rf"^posts/{NUMBER}/?$", views.PostReadView.as_view()),
    re_path(rf"^{COMMENTS}/?$", views.CommentListView.as_view()),
    re_path(rf"^{COMMENTS}/create/?$", views.CommentCreateView.as_view()),
    re_path(rf"^{COMMENTS}/update/{NUMBER}/?$", views.CommentUpdateView.as_view()),
    re_path(rf"^{COMMENTS}/delete/{NUMBER}/?$", views.CommentDeleteView.as_view()),
    re_path(rf"^{COMMENTS}/{NUMBER}/?$", views.CommentReadView.as_view()),
]
