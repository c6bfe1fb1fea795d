"""Forward auth: an edge proxy holds a request and asks whether it may go on; nothing passes through the gateway.

Each edge has a contract of its own, and a module that knows no more than how its question is read and how its answer
is written. Between the two stands the judge of proxied traffic, asked about the same canonical head.
"""
