# The demo's configuration, written by `vestibule demo` and removed when it stops.
# Everything here is what a configuration of your own would say; only the addresses are the demo's.

gateway {
  {{ "https" if is_secure else "http " }} = [{% for listener in listeners %}{{ ", " if not loop.first }}"{{ listener }}"{% endfor %}]
  state = "{{ state }}"
}

# Where people sign in. The demo's provider runs on this machine; for Google, the block would be
#   provider "google" { client_id = "…"  client_secret = "…" }
provider "demo" {
  type          = "oidc"
  issuer        = "{{ issuer }}"
  client_id     = "{{ client_id }}"
  client_secret = "{{ client_secret }}"
  scopes        = ["openid", "profile", "email", "groups", "offline_access"]
}
{% for name in hosts %}
{% if loop.first -%}
# The app, which stays reachable for everybody (it has a signed-out page of its own) but for two places.
{%- else -%}
# The same app under its other name. A session is good for one name only.
{%- endif %}
host "{{ name }}" {
  name    = "{{ "Demo app" if loop.first else "Demo app (" ~ name ~ ")" }}"
  backend = "{{ backend }}"
  sign_in = ["demo"]

  access {
    allow = ["public"]
  }

  route "/members/" {
    access {
      allow = ["anyone"]
    }
  }

  route "/admin/" {
    access {
      allow = ["email:alice@example.com"]
    }
  }
}
{% endfor %}
# Where the app sends its calls to the API. The gateway adds the token of whoever is signed in,
# and gets a new one when it has expired.
call "demo" {
  name     = "Demo API"
  port     = {{ calls_port }}
  endpoint = "{{ endpoint }}"

  auth {
    name       = "Authorization"
    location   = "header"
    credential = "session:demo"
  }
}
