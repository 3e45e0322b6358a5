"""surrealdb: a database that has sent more than the answers that were waited for."""

import forcing
from surrealdb import Surreal
from surrealdb.data.cbor import encode

ANSWER = encode({"result": None})


def close_with_notifications_unread():
    with forcing.peer(*[ANSWER] * 3) as uri, Surreal(uri) as database:
        database.use("namespace", "database")
        return forcing.left_unread(database.close)


forcing.report(close_with_notifications_unread)
