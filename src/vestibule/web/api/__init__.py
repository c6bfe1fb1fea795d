"""The admin API, `/api/v1`: one module a resource, the table of which is `app`'s."""
