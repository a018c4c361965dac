from django.urls import re_path

from lockstep.accounts import doors, views

PERSON = r"(?P<key>[0-9]{1,18}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

urlpatterns = [
    re_path(r"^oauth/token/?$", doors.OAuthTokenView.as_view()),
    re_path(r"^oauth/revoke_token/?$", doors.OAuthRevocationView.as_view()),
    re_path(r"^oauth/introspect/?$", doors.OAuthIntrospectionView.as_view()),
    re_path(r"^api/v1/auth/token/?$", doors.PairView.as_view()),
    re_path(r"^api/v1/auth/refresh/?$", doors.RefreshView.as_view()),
    re_path(r"^api/v1/auth/token/refresh/?$", doors.RefreshView.as_view()),
    re_path(r"^api/v1/auth/verify/?$", doors.VerifyView.as_view()),
    re_path(r"^api/v1/auth/token/verify/?$", doors.VerifyView.as_view()),
    re_path(r"^api/v1/auth/sign-out/?$", doors.SignOutView.as_view()),
    re_path(r"^api/v1/users/register/?$", views.RegisterView.as_view()),
    re_path(r"^api/v1/users/me/?$", views.MeView.as_view()),
    re_path(r"^api/v1/users/me/password/?$", views.PasswordView.as_view()),
    re_path(rf"^api/v1/users/{PERSON}/?$", views.PersonView.as_view()),
    re_path(rf"^api/v1/users/{PERSON}/follow/?$", views.FollowView.as_view()),
    re_path(rf"^api/v1/users/{PERSON}/followers/?$", views.FollowerListView.as_view()),
    re_path(rf"^api/v1/users/{PERSON}/following/?$", views.FollowingListView.as_view()),
]
