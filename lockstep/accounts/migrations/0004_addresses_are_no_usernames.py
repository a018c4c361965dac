"""Usernames are public: accounts that went by their e-mail address get a made-up one, and sign in by the address."""

from django.db import migrations

# Where the address stood in the username alone, it becomes the account's address, so that it goes on signing in.
KEEP_ADDRESS = r"""
UPDATE accounts_user u SET email = u.username
WHERE u.deleted IS NULL AND u.email = '' AND u.username ~ '^[^@[:space:]]+@[^@[:space:]]+$'
  AND NOT EXISTS (
      SELECT FROM accounts_user o WHERE o.deleted IS NULL AND lower(o.email) = lower(u.username))
"""
MAKE_UP = """
UPDATE accounts_user SET username = 'user-' || left(replace(gen_random_uuid()::text, '-', ''), 12)
WHERE username LIKE '%@%'
"""


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0003_withdrawal"),
    ]

    operations = [
        migrations.RunSQL(KEEP_ADDRESS, migrations.RunSQL.noop),
        migrations.RunSQL(MAKE_UP, migrations.RunSQL.noop),
    ]
