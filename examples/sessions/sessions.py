"""Sessions of a Vestibule gateway, in Python, by the client that comes with it.

VESTIBULE_URL=http://127.0.0.1:9000 VESTIBULE_TOKEN=vst_admin_… python sessions.py USER_ID HOST
"""

import os
import sys

from vestibule.client import SessionClient
from vestibule.errors import ClientError

user_id, host = sys.argv[1:]
sessions = SessionClient(os.environ["VESTIBULE_URL"], os.environ["VESTIBULE_TOKEN"])

# 1. A session for somebody who has signed in before. The bearer is told this once: it is for its holder alone.
made = sessions.create(user_id, host, attributes={"cart": 1})

# 2. Whose is what a client has shown?
whose = sessions.introspect(made.bearer, touch=True)
assert whose is not None
print("active", "true", "cart", whose.attributes["cart"])

# 3. Some values of one's own, at most 4 KiB; with the version, somebody else's change is not written over.
changed = sessions.update(made.id, {"cart": whose.attributes["cart"] + 1}, version=whose.version)
print("cart", changed.attributes["cart"])

# 4. Where is this person signed in?
print("listed", str(made.id in {session.id for session in sessions.list(user_id)}).lower())

# 5. Signed out, at once and everywhere.
sessions.end(made.id)
print("active", str(sessions.introspect(made.bearer) is not None).lower())

# 6. What is refused has a code.
try:
    sessions.get(made.id)
except ClientError as error:
    print("refused", error.status, error.code)
sessions.close()
