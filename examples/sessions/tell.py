"""What happens in an application, in the same trail as what happens at the door.

VESTIBULE_URL=http://127.0.0.1:9000 VESTIBULE_TOKEN=vst_admin_… python tell.py USER_ID ORDER
"""

import os
import sys

from vestibule.client import SessionClient
from vestibule.errors import Invalid

user_id, order = sys.argv[1:]
# The token needs the scope events:write, and no other.
with SessionClient(os.environ["VESTIBULE_URL"], os.environ["VESTIBULE_TOKEN"]) as gateway:
    # 1. An id of one's own: what is told twice, since the answer was lost, is kept once.
    paid = {"id": f"{order}-paid", "action": "app.order.paid", "target": f"order {order}", "user_id": user_id}
    first = gateway.tell({**paid, "detail": {"amount": "12.50", "currency": "EUR"}})
    print("written", str(first.written).lower(), "same", str(gateway.tell(paid).ids == first.ids).lower())

    # 2. Names of the gateway's own events are not for applications.
    try:
        gateway.tell({"action": "session.created", "user_id": user_id})
    except Invalid as error:
        print("refused", error.faults[0][0])
