import sys

import lockstep.changes.folding
from django.core.management import CommandError
from django.db import migrations, models

from lockstep import text

# Each with the number of the account that has the first of its name or address.
SAME_NAMES = """
    SELECT number, username, first FROM (
        SELECT number, username, first_value(number) OVER same AS first, row_number() OVER same AS place
        FROM accounts_user WINDOW same AS (PARTITION BY lockstep_fold(username) ORDER BY number)
    ) AS users WHERE place > 1 ORDER BY number
"""
SAME_ADDRESSES = """
    SELECT number, first FROM (
        SELECT number, first_value(number) OVER same AS first, row_number() OVER same AS place
        FROM accounts_user WHERE deleted IS NULL AND email <> ''
        WINDOW same AS (PARTITION BY lockstep_fold(email) ORDER BY number)
    ) AS users WHERE place > 1 ORDER BY number
"""


def settle(apps, schema_editor):
    """Writes addresses in the form in which they are compared, and tells accounts apart that are called the same now.

    Of equal names the first account keeps its own; the others get their number behind it. Equal addresses end the
    migration before anything is changed: without its address an account may be lost to its owner.
    """
    with schema_editor.connection.cursor() as cursor:
        _write_addresses(cursor)
        _refuse_same_addresses(cursor)
        _rename(cursor)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _write_addresses(cursor):
    cursor.execute("SELECT number, email FROM accounts_user WHERE octet_length(email) <> length(email)")
    for number, email in cursor.fetchall():
        cursor.execute("UPDATE accounts_user SET email = %s WHERE number = %s", [_address(email), number])


def _address(email):
    try:
        return text.address(email)
    except ValueError:  # no valid domain, but what it is stored as must still be one thing
        local, at, domain = text.nfkc(email).rpartition("@")
        labels = (label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in domain.split("."))
        return f"{local}{at}{'.'.join(labels)}"


def _refuse_same_addresses(cursor):
    cursor.execute(SAME_ADDRESSES)
    if pairs := cursor.fetchall():
        told = ", ".join(f"{number} (as {first})" for number, first in pairs)
        raise CommandError(
            f"These accounts, by number, have an e-mail address that another one has in another spelling: {told}. "
            "Nothing was changed. Give each its own address, or none, and migrate again."
        )


def _rename(cursor):
    cursor.execute(SAME_NAMES)
    for number, username, first in cursor.fetchall():
        new = _free_name(cursor, username, number)
        cursor.execute("UPDATE accounts_user SET username = %s WHERE number = %s", [new, number])
        sys.stderr.write(f"\nAccount {number} is called as account {first} by now: its username is {new!r}.\n")


def _free_name(cursor, username, number):
    suffix = f"-{number}"
    while True:
        candidate = username[: 150 - len(suffix)] + suffix
        cursor.execute("SELECT FROM accounts_user WHERE lockstep_fold(username) = lockstep_fold(%s)", [candidate])
        if cursor.fetchone() is None:
            return candidate
        suffix += "-"


class Migration(migrations.Migration):
    """Names and addresses are compared by lockstep_fold."""

    dependencies = [
        ('changes', '0010_folding'),
        ("accounts", "0005_usernames_are_public"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='user',
            name='accounts_user_username_ci',
        ),
        migrations.RemoveConstraint(
            model_name='user',
            name='accounts_user_email_ci',
        ),
        migrations.RunPython(settle, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(lockstep.changes.folding.Fold('username'), name='accounts_user_username_ci'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(lockstep.changes.folding.Fold('email'), condition=models.Q(('deleted', None), models.Q(('email', ''), _negated=True)), name='accounts_user_email_ci'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email__regex', '^[^@]*$|@[ -~]*$')), name='accounts_user_email_domain'),
        ),
    ]
