"""What edges are told, and what they can't be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vestibule.config.compile import Compiled, compile_config
from vestibule.config.exporters import EDGES, export
from vestibule.config.exporters.plan import plan_of
from vestibule.config.load import load
from vestibule.core.inject import FAMILIES
from vestibule.errors import ConfigError

TEXT = """
gateway {
  http            = ["0.0.0.0:8000"]
  forward_auth    = "127.0.0.1:4181"
  trusted_proxies = ["127.0.0.1"]
}
provider "google" {
  client_id     = "x"
  client_secret = "y"
}
host "app.example.com" {
  backend    = ["10.0.0.1:80", "10.0.0.2:80"]
  public_url = "https://app.example.com"
  sign_in    = ["google"]
  max_body   = "1MiB"
  access { allow = ["domain:example.com"] }
  route "/admin/" {
    backend = "https://admin.internal"
  }
  route "/open/" {
    access { allow = ["public"] }
  }
}
host "asked.example.com" {
  public_url       = "https://asked.example.com:8443"
  sign_in          = ["google"]
  identity_headers = "authelia"
  access { allow = ["domain:example.com"] }
}
"""


def compiled(tmp_path: Path, text: str = TEXT) -> Compiled:
    file = tmp_path / "vestibule.hcl"
    file.write_text(text, "utf-8")
    return compile_config(load((file,), {}))


def test_the_gateway_is_reached_on_this_machine_where_it_listens_everywhere(tmp_path):
    plan = plan_of("nginx", compiled(tmp_path))
    assert (plan.gateway.address, plan.asked.address, plan.grpc) == ("127.0.0.1:8000", "127.0.0.1:4181", None)


def test_a_site_is_what_public_url_says(tmp_path):
    app, asked = plan_of("nginx", compiled(tmp_path)).sites
    assert (app.scheme, app.authority, app.listen) == ("https", "app.example.com", "443")
    assert (asked.scheme, asked.authority, asked.listen) == ("https", "asked.example.com:8443", "8443")
    assert app.own_prefixes == ("/@/", "/@google/")


def test_routes_with_servers_of_their_own_are_parts_the_longest_first(tmp_path):
    app, asked = plan_of("nginx", compiled(tmp_path)).sites
    admin, whole = app.parts
    assert (admin.prefix, admin.tls, [target.address for target in admin.servers]) == (
        "/admin",
        True,
        ["admin.internal:443"],
    )
    assert [target.address for target in whole.servers] == ["10.0.0.1:80", "10.0.0.2:80"]
    assert whole.limit_bytes == 1 << 20
    assert asked.parts[0].note == "write your app's address"


def test_every_name_of_every_family_is_told_or_cleared(tmp_path):
    every = {header.name for family in FAMILIES.values() for header in family.headers}
    for site in plan_of("nginx", compiled(tmp_path)).sites:
        assert every <= {*site.told, *site.cleared}
        assert not {*site.told} & {*site.cleared}
    assert "Remote-User" in site.told


def test_nginx_takes_its_variables_without_a_larger_hash(tmp_path):
    text = TEXT.replace('"authelia"', '["vouch", "oauth2-proxy", "pomerium"]')
    long = "".join(f'  header "X-{"Long-" * 9}{end}" {{ value = "{{user.login}}" }}\n' for end in "AB")
    text = text.replace('  max_body   = "1MiB"\n', long)
    written = export("nginx", compiled(tmp_path, text))["nginx.conf"]
    variables = set(re.findall(r"auth_request_set \$(\w+)", written))
    assert max(map(len, variables)) <= 46
    assert set(re.findall(r"\$(vestibule_x_long_\w+)", written)) <= variables
    assert len([name for name in variables if name.startswith("vestibule_x_long_")]) == 2


def test_what_a_header_says_is_told_to_edges_and_what_a_path_becomes_is_theirs(tmp_path):
    for setting, is_theirs in (
        ('header "X-Login" { value = "{user.login}" }', False),
        ('rewrite = "/v2"', True),
    ):
        text = TEXT.replace('  max_body   = "1MiB"\n', f"  {setting}\n")
        app, _ = plan_of("nginx", compiled(tmp_path, text)).sites
        assert bool(app.parts[-1].note) is is_theirs


@pytest.mark.parametrize("edge", EDGES)
def test_the_same_configuration_gives_the_same_text(tmp_path, edge):
    texts = [export(edge, compiled(tmp_path)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert tuple(texts[0]) == EDGES[edge]


@pytest.mark.parametrize("edge", ["traefik", "envoy"])
def test_what_is_yaml_is_yaml(tmp_path, edge):
    [text] = export(edge, compiled(tmp_path)).values()
    assert yaml.safe_load(text)


def test_traefik_is_told_by_its_documented_names(tmp_path):
    [text] = export("traefik", compiled(tmp_path)).values()
    http = yaml.safe_load(text)["http"]
    ask = http["middlewares"]["app_example_com_ask"]["forwardAuth"]
    assert ask["address"] == "http://127.0.0.1:4181/@/forward"
    assert ask["trustForwardHeader"] is False
    assert {"Cookie", "Authorization", "User-Id", "Proxy-Session"} <= {*ask["authResponseHeaders"]}
    cleared = http["middlewares"]["app_example_com_headers"]["headers"]["customRequestHeaders"]
    assert {*cleared.values()} == {""}
    assert {"User-Id", "Remote-User", "X-Vouch-User"} <= {*cleared}
    router = http["routers"]["app_app_example_com"]
    assert router["middlewares"][:2] == ["app_example_com_headers", "app_example_com_ask"]
    assert "middlewares" not in http["routers"]["app_example_com_vestibule"]
    assert http["routers"]["app_example_com_vestibule"]["priority"] > router["priority"]


def test_without_forward_auth_it_says_what_to_write(tmp_path):
    text = TEXT.replace('  forward_auth    = "127.0.0.1:4181"\n', "").partition('host "asked')[0]
    with pytest.raises(ConfigError) as refused:
        plan_of("nginx", compiled(tmp_path, text))
    assert 'forward_auth = "127.0.0.1:4181"' in refused.value.faults[0]


@pytest.mark.parametrize("path", ["/a{b", "/a'b", "/a;b", "/a$b", "/a`b"])
def test_a_path_that_means_something_to_an_edge_is_refused(tmp_path, path):
    """Threat: a route that ends a block of the edge's configuration, or begins another."""
    text = TEXT.replace('route "/admin/"', f'route "{path}/"')
    with pytest.raises(ConfigError) as refused:
        plan_of("nginx", compiled(tmp_path, text))
    assert "vestibule.hcl:" in refused.value.faults[0]


def test_paths_of_another_product_are_the_gateways_but_for_what_edges_ask(tmp_path):
    text = TEXT.replace(
        'public_url       = "https://asked', 'compat = "vouch"\n  public_url = "https://asked'
    )
    [app, asked] = plan_of("nginx", compiled(tmp_path, text)).sites
    assert app.own_paths == ()
    assert asked.own_paths == ("/login", "/auth", "/logout", "/healthcheck")


SERVED = """
gateway {
  http            = ["127.0.0.1:8000"]
  forward_auth    = "127.0.0.1:4181"
}
host "app.example.com" {
  backend    = "10.0.0.1:80"
  public_url = "https://app.example.com"
  access { allow = ["public"] }
  route "/keys/" {
    backend = "serving:keys"
  }
}
serving "keys" {
  port    = 4801
  backend = "10.0.0.9:80"
  apikey_auth {
    users = "robot:$2y$10$Ae0foxYCm4q2h1piWZFBQu7kOszRTtmLuw0DzcC01neirN28nokna"
  }
}
"""


def test_a_serving_is_no_site_and_an_edge_sends_on_to_what_is_behind_it(tmp_path):
    (site,) = plan_of("nginx", compiled(tmp_path, SERVED)).sites
    assert site.name == "app.example.com"
    assert [(part.prefix, part.servers[0].address, part.note) for part in site.parts] == [
        ("/keys", "10.0.0.9:80", ""),
        ("", "10.0.0.1:80", ""),
    ]
    for edge in EDGES:
        assert "serving" not in "".join(export(edge, compiled(tmp_path, SERVED)).values())


@pytest.mark.parametrize(
    "name",
    [
        *("X-Rewrite-URL", "X-Original-URL", "X-Original-URI", "X-Original-Method", "X-HTTP-Method-Override"),
        *(
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Forwarded-Uri",
            "X-Forwarded-Method",
            "X-Forwarded-Prefix",
        ),
        *("X-Forwarded-Access-Token", "X-Auth-Request-Access-Token", "HTTP2-Settings", "Proxy"),
    ],
)
def test_h6_what_says_another_address_or_method_than_was_asked_about_reaches_no_backend(tmp_path, name):
    """Of nginx, Caddy and Traefik, which remove what is named to them."""
    parts = len(plan_of("nginx", compiled(tmp_path)).sites)
    removed = {
        "nginx": f'proxy_set_header {name} "";',
        "caddy": f"request_header -{name}\n",
        "traefik": f'  {name}: ""\n',
    }
    for edge, line in removed.items():
        assert "".join(export(edge, compiled(tmp_path)).values()).count(line) >= parts, edge
