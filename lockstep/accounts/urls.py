from django.urls import include, path, re_path

from lockstep.accounts import doors, views
from lockstep.api.routes import KEY

oauth = [
    re_path(r"^token/?$", doors.OAuthTokenView.as_view()),
    re_path(r"^revoke_token/?$", doors.OAuthRevocationView.as_view()),
    re_path(r"^introspect/?$", doors.OAuthIntrospectionView.as_view()),
]
auth = [
    re_path(r"^token/?$", doors.PairView.as_view()),
    re_path(r"^refresh/?$", doors.RefreshView.as_view()),
    re_path(r"^token/refresh/?$", doors.RefreshView.as_view()),
    re_path(r"^verify/?$", doors.VerifyView.as_view()),
    re_path(r"^token/verify/?$", doors.VerifyView.as_view()),
    re_path(r"^sign-out/?$", doors.SignOutView.as_view()),
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
