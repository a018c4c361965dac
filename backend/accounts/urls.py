from django.urls import include, path, re_path

from backend.accounts import sign_in_views, views
from lockstep.rest.routes import KEY

oauth = [
    re_path(r"^token/?$", sign_in_views.OAuthTokenView.as_view()),
    re_path(r"^revoke_token/?$", sign_in_views.OAuthRevocationView.as_view()),
    re_path(r"^introspect/?$", sign_in_views.OAuthIntrospectionView.as_view()),
]
auth = [
    re_path(r"^token/?$", sign_in_views.PairView.as_view()),
    re_path(r"^refresh/?$", sign_in_views.RefreshView.as_view()),
    re_path(r"^token/refresh/?$", sign_in_views.RefreshView.as_view()),
    re_path(r"^verify/?$", sign_in_views.VerifyView.as_view()),
    re_path(r"^token/verify/?$", sign_in_views.VerifyView.as_view()),
    re_path(r"^sign-out/?$", sign_in_views.SignOutView.as_view()),
]
users = [
    re_path(r"^register/?$", views.RegisterView.as_view()),
    re_path(r"^me/?$", views.MeView.as_view()),
    re_path(r"^me/password/?$", views.MyPasswordView.as_view()),
    re_path(rf"^{KEY}/?$", views.PersonView.as_view()),
    re_path(rf"^{KEY}/follow/?$", views.FollowView.as_view()),
    re_path(rf"^{KEY}/followers/?$", views.FollowerListView.as_view()),
    re_path(rf"^{KEY}/following/?$", views.FollowingListView.as_view()),
]

urlpatterns = [
    path("oauth/", include(oauth)),
    path("api/v1/auth/", include(auth)),
    path("api/v1/users/", include(users)),
]
