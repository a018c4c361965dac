"""Makes the secrets of compose.production.yaml, each a file; what is there already stays.

    python3 deploy/make_secrets.py [FOLDER] [--self-signed HOST]

FOLDER is deploy/secrets.d, which only its owner may enter. Put the certificate and its key there as `tls/certificate`
and `tls/key`; `--self-signed` makes some to try it with, by openssl. With the profile `monitoring` put the address that
alerts are posted to there as `alert_webhook`, and that of a dead man's switch, which receives a message every five
minutes while alerting works, as `watchdog_webhook`; without such a switch the same address.
"""

import argparse
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets.d"
HOST = re.compile(r"(?=.{1,64}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
MADE: dict[str, Callable[[], str]] = {
    "secret_key": lambda: secrets.token_urlsafe(60),
    "database_password": lambda: secrets.token_urlsafe(30),
    "metrics_token": lambda: secrets.token_urlsafe(30),
    "grafana_password": lambda: secrets.token_urlsafe(30),
}


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--self-signed", metavar="HOST")
    options = parser.parse_args()
    if options.self_signed and not HOST.fullmatch(options.self_signed):
        parser.error(f"--self-signed needs the name of a host: {options.self_signed!r} is none.")
    try:
        return make_all(options.folder, options.self_signed)
    except OSError as error:
        sys.stderr.write(f"{error.filename or options.folder}: {error.strerror}\n")
        return 1


def make_all(folder: Path, host: str | None) -> int:
    """The exit code. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        sys.stderr.write(f"Others may enter {folder}, and would read the secrets: chmod 700 {folder}\n")
        return 1
    for name, make in MADE.items():
        keep(folder / name, make)
    tls = folder / "tls"
    tls.mkdir(exist_ok=True)
    tls.chmod(0o755)  # for any umask: nginx's user reads this folder
    if host and not ((tls / "certificate").exists() and (tls / "key").exists()):
        sign(host, tls)
    missing = [name for name in ("tls/certificate", "tls/key") if not (folder / name).is_file()]
    if unread := [path for path in tls.iterdir() if path.is_file() and not path.stat().st_mode & 0o004]:
        sys.stderr.write(f"nginx's user cannot read this: chmod 444 {' '.join(map(str, unread))}\n")
        return 1
    sys.stdout.write(f"Still to be put there: {', '.join(missing)}\n" if missing else f"{folder} is complete.\n")
    if unset := [name for name in ("alert_webhook", "watchdog_webhook") if not (folder / name).is_file()]:
        sys.stdout.write(f"With --profile monitoring also {' and '.join(unset)}: see docs/deployment.md.\n")
    return 0


def keep(path: Path, make: Callable[[], str]) -> None:
    """Writes a secret that is not there."""
    if not path.exists() or not path.stat().st_size:
        put(path, make())


def sign(host: str, tls: Path) -> None:
    """A certificate for a host that no browser trusts, and its key."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"]
    words += ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},DNS:localhost,IP:127.0.0.1"]
    words += ["-keyout", "-", "-out", "-"]
    made = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    key, separator, certificate = made.partition("-----BEGIN CERTIFICATE-----")
    put(tls / "key", key)
    put(tls / "certificate", separator + certificate)


def put(path: Path, content: str) -> None:
    """All of it or nothing. Containers of any user read the file; the folder keeps others out."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(content, encoding="ascii")
    new.chmod(0o444)
    new.replace(path)
    sys.stdout.write(f"made {path}\n")


if __name__ == "__main__":
    sys.exit(main())
