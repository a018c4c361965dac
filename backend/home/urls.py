"""The start page, signing in, and what its forms do in development."""

from django.urls import path, re_path

from backend.home import trial_views, views

app_name = "home"
urlpatterns = [
    re_path(r"^$", views.HomeView.as_view(), name="home"),
    re_path(r"^sign-in/?$", views.SignInView.as_view(), name="sign_in"),
    path("favicon.ico", views.IconView.as_view(), name="icon"),
    path("development/sign-in/", trial_views.TrialSignInView.as_view(), name="trial_sign_in"),
    path("development/sign-out/", trial_views.SignOutView.as_view(), name="sign_out"),
    path("development/posts/", trial_views.WritePostView.as_view(), name="write_post"),
    path("development/faults/", trial_views.FaultView.as_view(), name="fault"),
]
