"""Which of the pages stand where that manage something: a part of the table of `app`."""

from __future__ import annotations

from typing import Final

from vestibule.web.admin import (
    audit,
    configuration,
    hosts,
    invitations,
    machine_keys,
    operations,
    providers,
    tokens,
)
from vestibule.web.admin.answers import Item

MANAGING: Final = {
    "/invitations": {"GET": invitations.listed},
    "/invitations/new": {"GET": invitations.new, "POST": invitations.new},
    "/invitations/{id}/withdraw": {"GET": invitations.withdraw, "POST": invitations.withdraw},
    "/providers": {"GET": providers.listed},
    "/new-provider": {"GET": providers.new, "POST": providers.new},
    "/providers/{id}": {"GET": providers.shown},
    "/providers/{id}/edit": {"GET": providers.edit, "POST": providers.edit},
    "/providers/{id}/test": {"POST": providers.tested},
    "/providers/{id}/enable": {"POST": providers.enable},
    "/providers/{id}/disable": {"GET": providers.disable, "POST": providers.disable},
    "/providers/{id}/delete": {"GET": providers.delete, "POST": providers.delete},
    "/hosts": {"GET": hosts.listed},
    "/explain": {"GET": hosts.explain},
    "/tokens": {"GET": tokens.listed},
    "/tokens/new": {"GET": tokens.new, "POST": tokens.new},
    "/tokens/{id}/revoke": {"GET": tokens.revoke, "POST": tokens.revoke},
    "/app-tokens": {"GET": tokens.of_people},
    "/users/{id}/tokens": {"GET": tokens.of_one},
    "/users/{id}/tokens/{token}/revoke": {"GET": tokens.revoke_of_one, "POST": tokens.revoke_of_one},
    "/machine-keys": {"GET": machine_keys.listed},
    "/machine-keys/new": {"GET": machine_keys.new, "POST": machine_keys.new},
    "/machine-keys/{id}/revoke": {"GET": machine_keys.revoke, "POST": machine_keys.revoke},
    "/held": {"GET": machine_keys.held},
    "/certificates": {"GET": operations.certificates},
    "/audit": {"GET": audit.listed},
    "/audit/verify": {"GET": audit.verified},
    "/audit/export": {"GET": audit.exported},
    "/audit/{id}": {"GET": audit.shown},
    "/configuration": {"GET": configuration.shown},
    "/configuration/difference": {"GET": configuration.difference, "POST": configuration.difference},
    "/log": {"GET": operations.levels, "POST": operations.levels},
    "/dead-letters": {"GET": operations.letters},
    "/dead-letters/{webhook}/{id}/retry": {"POST": operations.retry},
    "/dead-letters/{webhook}/{id}/discard": {"GET": operations.discard, "POST": operations.discard},
}
ITEMS: Final = (
    Item("/invitations", "Invitations"),
    Item("/providers", "Providers"),
    Item("/hosts", "Hosts"),
    Item("/app-tokens", "App tokens"),
    Item("/tokens", "Admin tokens"),
    Item("/machine-keys", "Machine keys"),
    Item("/held", "Who holds what"),
    Item("/certificates", "Certificates"),
    Item("/audit", "Audit"),
    Item("/configuration", "Configuration"),
    Item("/log", "Log"),
    Item("/dead-letters", "Dead letters"),
)
