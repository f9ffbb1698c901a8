"""Database URLs as other programs read them, and what the driver makes of them."""

import os
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from reactor.errors import SettingError

#: Parameters of libpq that are about its own work. The driver knows none of them, and would ask the server
#: for settings of these names, which refuses the connection. Limits and keep-alives are ours here.
_OF_LIBPQ = {
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
}
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def for_driver(url: str) -> str:
    """Without what only libpq knows. Raises SettingError where that would be a promise broken in silence."""
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url  # the driver says what is wrong with it
    if not any(name in _OF_LIBPQ for name, _ in given):
        return url
    if ("channel_binding", "require") in given:
        raise SettingError(
            "channel_binding=require in the database URL cannot be kept: the driver has no channel binding",
            hint="leave it out; sslmode=verify-full makes sure of the server by its certificate",
        )
    return urlunsplit(parts._replace(query=urlencode([one for one in given if one[0] not in _OF_LIBPQ])))


def unreadable_file(url: str) -> SettingError | None:
    """Which of the files that a URL names for TLS cannot be read: the driver says it without the name."""
    for name, path in parse_qsl(urlsplit(url).query):
        if name in _FILES and not os.access(path, os.R_OK):
            return SettingError(
                f"{name} in the database URL names a file that cannot be read: {path}",
                hint="write the path of a file, e.g. /etc/ssl/certs/ca-certificates.crt"
                if name == "sslrootcert"
                else "write its path as this process sees it",
            )
    return None
