# The gateway of the forum, one file for both nodes. What differs between them, or is a secret, comes from the
# environment; `run.py` sets it. With the real Google and Apple nothing changes here.

gateway {
  http            = ["127.0.0.1:${env("NODE_PORT")}"]
  trusted_proxies = ["127.0.0.1"] # the balancer
  state           = "${env("NODE_STATE")}"
}

# People in PostgreSQL, sessions in Redis. The key ring is the same on all nodes: VESTIBULE_SESSION_KEY.
store {
  url      = "${env("DATABASE_URL")}"
  sessions = "${env("REDIS_URL")}"
}

# GOOGLE_ISSUER is https://accounts.google.com, or the stand-in's address; the same with Apple. `native_client_ids` are
# the app's own, where it signs people in by their SDKs.
provider "google" {
  issuer            = "${env("GOOGLE_ISSUER")}"
  client_id         = "${env("GOOGLE_CLIENT_ID")}"
  client_secret     = "${env("GOOGLE_CLIENT_SECRET")}"
  native_client_ids = ["${env("GOOGLE_NATIVE_CLIENT_ID")}"]
  offline_access    = false
}

provider "apple" {
  issuer            = "${env("APPLE_ISSUER")}"
  client_id         = "${env("APPLE_CLIENT_ID")}"
  team_id           = "${env("APPLE_TEAM_ID")}"
  private_key_id    = "${env("APPLE_KEY_ID")}"
  private_key       = "${env("APPLE_PRIVATE_KEY")}"
  native_client_ids = ["${env("APPLE_BUNDLE_ID")}"]
}

# `form`: a newcomer chooses a display name first. `auto`: the one that the provider tells.
people {
  registration = "${env("REGISTRATION")}"
}

host "localhost" {
  name       = "The forum"
  backend    = "static:${env("FORUM")}/web"
  public_url = "${env("SITE")}"
  sign_in    = ["google", "apple"]

  # Everybody may read; who writes is signed in.
  access {
    allow = ["public"]
  }
  route "/api/feed" {
    backend = "127.0.0.1:${env("NEWSFEED_PORT")}"
    methods = ["GET"]
  }
  route "/api/posts/" {
    backend  = "127.0.0.1:${env("POSTS_PORT")}"
    max_body = "64KiB"
    access {
      allow = ["anyone"]
    }
  }
  route "/api/me" {
    backend = "127.0.0.1:${env("POSTS_PORT")}"
    methods = ["GET"]
  }
}

# The same API for phones: people sign in by the system's browser, or by an SDK of Google's or Apple's (docs/apps.md).
app "forum-phone" {
  name   = "Forum for phones"
  hosts  = ["${env("SITE_HOST")}"]
  grants = ["code", "refresh", "native"]
  redirects = [
    "https://${env("SITE_HOST")}/app/callback", # a universal link or app link: the system asks the site whose it is
    "com.example.forum:/callback",            # a scheme of the app's own, where there is none
    "http://127.0.0.1/callback",              # a program on a desktop, as phone.py is
  ]
}

# The log service is told all that happens.
webhook "log" {
  url    = "http://127.0.0.1:${env("EVENTS_PORT")}/hook"
  secret = "${env("HOOK_SECRET")}"
}
